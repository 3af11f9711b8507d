// SPDX-License-Identifier: BSD-2-Clause
/*
 * Names that are resolved without waiting, by the real getaddrinfo(): in a network and a file system of the
 * test's own, with a name server that answers some names and is silent for others.
 */
#include "lib/names.h"
#include "lib/resolver.h"

#include "lib/address.h"
#include "lib/clock.h"
#include "tap.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 20
#define MOST_CHILDREN 8
#define PATIENCE_S 60

static struct event_base *base;

/* ---- a name server ---- */

static unsigned int questions;
static struct event *server;

/* Answer "good..." with an address, "bad..." with an error, and "hang..." not at all. */
static void server_asked(evutil_socket_t fd, short what, void *argument)
{
	/* A pointer to the name, A, IN, 60 seconds, 4 bytes: 192.0.2.1 */
	static const unsigned char record[] = { 0xc0, 12, 0, 1, 0,   1, 0, 0,
						0,    60, 0, 4, 192, 0, 2, 1 };
	unsigned char packet[1024];
	struct sockaddr_in client;
	socklen_t size = sizeof(client);
	ssize_t length = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&client, &size);
	size_t end = 12;

	(void)what;
	(void)argument;
	questions++;
	if (length < 17 || !memcmp(packet + 13, "hang", 4))
		return;
	while (end < (size_t)length && packet[end])
		end += packet[end] + 1U;
	end += 5; /* the root, type and class */
	packet[2] |= 0x80;
	memset(packet + 6, 0, 6);
	if (!memcmp(packet + 13, "bad", 3)) {
		packet[3] = 3;
	} else if (packet[end - 3] == 1) {
		packet[7] = 1;
		memcpy(packet + end, record, sizeof(record));
		end += sizeof(record);
	}
	sendto(fd, packet, end, 0, (struct sockaddr *)&client, size);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err(1, "%s", path);
	close(fd);
}

/* Put a file with @text in the place of @path. */
static bool replace_file(const char *path, const char *text)
{
	char copy[] = "/tmp/resolver.XXXXXX";
	int fd = mkstemp(copy);
	bool mounted;

	if (fd < 0)
		return false;
	close(fd);
	chmod(copy, 0644);
	write_file(copy, text);
	mounted = !mount(copy, path, "none", MS_BIND, NULL);
	unlink(copy);
	return mounted;
}

static bool raise_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool raised = fd >= 0 && !ioctl(fd, SIOCSIFFLAGS, &request);

	close(fd);
	return raised;
}

static bool open_server(void)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons(53),
					     .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)))
		return false;
	server = event_new(base, fd, EV_READ | EV_PERSIST, server_asked, NULL);
	return server && !event_add(server, NULL);
}

/* Enter namespaces in which nothing else asks, or is asked. */
static bool enter_world(void)
{
	char map[64];
	uid_t uid = geteuid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET))
		return false;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_file("/proc/self/uid_map", map);
	return !mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) && raise_loopback() &&
	       replace_file("/etc/resolv.conf",
			    "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n") &&
	       replace_file("/etc/hosts", "127.0.0.1 localhost\n"
					  "192.0.2.7 of-the-file\n192.0.2.8 of-the-file\n") &&
	       replace_file("/etc/nsswitch.conf", "hosts: files dns\n");
}

/* ---- queries ---- */

struct outcome {
	unsigned int calls;
	struct resolved resolved;
};

static void query_done(void *argument, const struct resolved *resolved)
{
	struct outcome *outcome = argument;

	outcome->calls++;
	outcome->resolved = *resolved;
}

static void resolver_test_wake(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	(void)argument;
}

/* Run the event loop until @expression is true, but not forever. */
#define run_until(expression)                                                                    \
	({                                                                                       \
		uint64_t end_ = clock_monotonic_ns() + PATIENCE_S * 1000000000ULL;               \
		const struct timeval tick_ = { .tv_usec = 20000 };                               \
		while (!(expression) && clock_monotonic_ns() < end_) {                           \
			event_base_once(base, -1, EV_TIMEOUT, resolver_test_wake, NULL, &tick_); \
			event_base_loop(base, EVLOOP_ONCE);                                      \
		}                                                                                \
		(expression);                                                                    \
	})

/* Resolve @host. Return: the first address as text, or the error. */
static const char *resolve(const char *host, struct outcome *outcome)
{
	static char text[ADDRESS_TEXT];
	const struct addrinfo *list;

	*outcome = (struct outcome){ 0 };
	if (!resolver_start(base, host, 0, query_done, outcome))
		err(1, "no query");
	check(!outcome->calls, "called at once");
	run_until(outcome->calls);
	check(outcome->calls == 1, "%u calls", outcome->calls);
	list = resolved_list(&outcome->resolved, "7000");
	return list ? address_format(list->ai_addr, text) : resolved_error(&outcome->resolved);
}

/* Return the number of children of this process, zombies included. */
static unsigned int count_children(void)
{
	DIR *directory = opendir("/proc");
	const struct dirent *entry;
	unsigned int number = 0;
	char path[300], line[256];

	while (directory && (entry = readdir(directory))) {
		FILE *file;
		int parent;

		if (!atoi(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		file = fopen(path, "re");
		if (file && fgets(line, sizeof(line), file) && strrchr(line, ')') &&
		    sscanf(strrchr(line, ')'), ") %*c %d", &parent) == 1)
			number += parent == getpid();
		if (file)
			fclose(file);
	}
	if (directory)
		closedir(directory);
	return number;
}

/* ---- the tests ---- */

static void test_numeric(void)
{
	struct resolved resolved;
	char text[ADDRESS_TEXT];

	check(resolver_numeric("192.0.2.9", &resolved), "refused");
	check(!strcmp(address_format(resolved_list(&resolved, "80")->ai_addr, text),
		      "192.0.2.9:80"),
	      "%s", text);
	check(resolver_numeric("2001:db8::1", &resolved), "refused");
	check(!strcmp(address_format(resolved_list(&resolved, "80")->ai_addr, text),
		      "[2001:db8::1]:80"),
	      "%s", text);
	check(!resolver_numeric("localhost", &resolved), "a name");
	check(!resolver_numeric("", &resolved), "nothing");
	point("addresses are told from names, without a process");
}

static void test_results(void)
{
	struct outcome outcome;
	const char *got;

	got = resolve("of-the-file", &outcome);
	check(!strcmp(got, "192.0.2.7:7000") && outcome.resolved.count == 2, "%s and %u", got,
	      outcome.resolved.count);
	check(!questions, "a server was asked");
	point("a name of /etc/hosts, with all its addresses");
	got = resolve("good.example", &outcome);
	check(!strcmp(got, "192.0.2.1:7000"), "%s", got);
	point("a name that the server knows");
	got = resolve("bad.example", &outcome);
	check(!strcmp(got, gai_strerror(EAI_NONAME)), "%s", got);
	point("a name that it does not know");
	check(run_until(!count_children()), "%u children", count_children());
	point("each child is reaped");
}

static void test_more_than_children(void)
{
	struct outcome hanging[MANY] = { 0 }, good = { 0 };
	struct resolver_query *query[MANY];
	unsigned int most = 0;

	for (unsigned int i = 0; i < MANY; i++) {
		char name[64];

		snprintf(name, sizeof(name), "hang%u.example", i);
		query[i] = resolver_start(base, name, 0, query_done, &hanging[i]);
	}
	resolver_start(base, "good.example", 0, query_done, &good);
	questions = 0;
	check(run_until(questions >= MOST_CHILDREN), "%u questions", questions);
	for (int i = 0; i < 10; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		most = count_children() > most ? count_children() : most;
	}
	check(most == MOST_CHILDREN, "%u children", most);
	check(!good.calls, "the last one did not wait");
	point("more names than processes: the rest waits");
	/* From the end: queries that wait, too. */
	for (unsigned int i = MANY; i-- > 0;)
		resolver_cancel(query[i]);
	check(run_until(good.calls) && good.resolved.count == 1, "%u calls", good.calls);
	check(run_until(!count_children()), "%u children", count_children());
	for (unsigned int i = 0; i < MANY; i++)
		check(!hanging[i].calls, "called after it was cancelled");
	point("cancelled queries leave no process, and others follow");
}

/* A child holds no descriptor of this process: the peer of a socket sees its end. */
static void test_descriptors(void)
{
	struct outcome outcome = { 0 };
	struct resolver_query *query;
	char byte;
	int ends[2];

	if (pipe(ends))
		err(1, "pipe");
	questions = 0;
	query = resolver_start(base, "hang.example", 0, query_done, &outcome);
	check(run_until(questions), "not asked");
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	check(read(ends[0], &byte, 1) == 0, "%s", strerror(errno));
	resolver_cancel(query);
	close(ends[0]);
	point("a child has no descriptor but its own");
}

static void names_settled(void *argument)
{
	++*(unsigned int *)argument;
}

static void test_several_names(void)
{
	unsigned int settled = 0;
	struct names *names = names_create(base, names_settled, &settled);

	check(names_add(names, "of-the-file") && names_add(names, "bad.example") &&
		      names_add(names, "OF-THE-FILE"),
	      "no memory");
	check(names_pending(names) == 2 && !names_find(names, "of-the-file"), "%u pending",
	      names_pending(names));
	check(run_until(settled), "not settled");
	check(settled == 1 && !names_pending(names), "%u times, %u pending", settled,
	      names_pending(names));
	check(names_find(names, "of-the-file")->count == 2, "no addresses");
	check(names_find(names, "bad.example")->error == EAI_NONAME, "no error");
	check(!names_find(names, "another"), "found");
	names_free(names);
	point("several names, each resolved once");
}

static void test_silent_server(void)
{
	struct outcome outcome;
	uint64_t begin = clock_monotonic_ns();
	const char *got = resolve("hang.example", &outcome);

	check(!strcmp(got, "no answer from the name server"), "%s", got);
	check(clock_monotonic_ns() - begin >= 14 * 1000000000ULL, "at once");
	check(run_until(!count_children()), "%u children", count_children());
	point("a server that never answers: an error after a time");
}

int main(void)
{
	base = event_base_new();
	if (!enter_world() || !open_server()) {
		tap_skip("names of a server", "no namespaces");
		test_numeric();
		return tap_end();
	}
	test_numeric();
	test_results();
	test_more_than_children();
	test_descriptors();
	test_several_names();
	test_silent_server();
	resolver_forget(base);
	event_free(server);
	event_base_free(base);
	return tap_end();
}
