// SPDX-License-Identifier: BSD-2-Clause
/* Listening and accepting (listener.h, and listen.h below it), with real sockets on the loopback. */
#include "stream/listener.h"

#include "capture.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/names.h"
#include "lib/priority.h"
#include "lib/resolver.h"
#include "lib/service.h"
#include "loopback.h"
#include "tap.h"

#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#define MAX_ACCEPTED 16U
#define PAUSE_MS 500
#define PATIENCE_MS 5000

/* The connections of one listener. */
struct receiver {
	int fd[MAX_ACCEPTED];
	struct sockaddr_storage peer[MAX_ACCEPTED];
	unsigned int count;
	useconds_t slow_us; /* time that accepting a connection takes */
};

static struct event_base *base;
static struct capture capture;
static enum listen_when test_when;     /* of the next listener */
static const struct names *test_names; /* for the next listener */

static void receive_connection(void *argument, int fd, const struct sockaddr *peer,
			       socklen_t length)
{
	struct receiver *receiver = argument;

	if (receiver->count == MAX_ACCEPTED)
		errx(1, "too many connections");
	usleep(receiver->slow_us);
	memcpy(&receiver->peer[receiver->count], peer, length);
	receiver->fd[receiver->count++] = fd;
}

static const struct listener_callbacks callbacks = { .accepted = receive_connection };

static void close_received(struct receiver *receiver)
{
	while (receiver->count)
		close(receiver->fd[--receiver->count]);
}

static void listener_test_time_is_over(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	*(bool *)argument = true;
}

/* Run the loop until @receiver has @count connections, or @ms are over. Return: turns of the loop. */
static unsigned int run_until(const struct receiver *receiver, unsigned int count, int ms)
{
	const struct timeval time = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	bool over = false;
	struct event *timer = evtimer_new(base, listener_test_time_is_over, &over);
	unsigned int turns = 0;

	evtimer_add(timer, &time);
	while (!over && receiver->count < count) {
		event_base_loop(base, EVLOOP_ONCE);
		turns++;
	}
	event_free(timer);
	return turns;
}

static const struct client_settings settings;

/* Open a listener, and leave what it logs in `capture`. */
static struct listener *listener_test_open_listener(const char *text, struct receiver *receiver)
{
	struct listener *listener;

	capture_begin(&capture, STDERR_FILENO);
	listener = listener_open(base, "adc", text, test_when, &settings, test_names, &callbacks,
				 receiver);
	capture_end(&capture);
	return listener;
}

/* Return: the port in the last line of `capture`, in network order. */
static in_port_t logged_port(void)
{
	const char *colon = strrchr(capture.text, ':');

	return htons((uint16_t)(colon ? atoi(colon + 1) : 0));
}

/* Return: a connected socket, or -1. */
static int connect_loopback(int family, in_port_t port)
{
	union any_address address;
	socklen_t length = loopback(&address, family, port);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, &address.sockaddr, length) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static in_port_t port_of(int fd)
{
	union any_address address;
	socklen_t length = sizeof(address);

	if (getsockname(fd, &address.sockaddr, &length))
		err(1, "getsockname");
	return address.in.sin_port; /* at the same place in both families */
}

static bool has_ipv6(void)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET6, 0);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, &address.sockaddr, length) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

/* Let the process open @more descriptors; negative: as many as before. */
static void limit_descriptors(int more)
{
	static struct rlimit before;
	struct rlimit limit;
	int lowest;

	if (!before.rlim_cur)
		getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	if (more >= 0) {
		setrlimit(RLIMIT_NOFILE, &before);
		lowest = dup(STDIN_FILENO);
		if (lowest < 0)
			err(1, "dup");
		close(lowest);
		limit.rlim_cur = (rlim_t)(lowest + more);
	}
	if (setrlimit(RLIMIT_NOFILE, &limit))
		err(1, "RLIMIT_NOFILE");
}

static unsigned int count_lines(const char *text)
{
	unsigned int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* ---- one endpoint ---- */

static void test_accept(void)
{
	struct receiver receiver = { .count = 0 };
	struct listener *listener = listener_test_open_listener("127.0.0.1:0", &receiver);
	in_port_t port = logged_port();
	int client;

	check(listener && port, "no listener: %s", capture.text);
	check(!strncmp(capture.text, "test: stream adc: listening on 127.0.0.1:", 41), "%s",
	      capture.text);
	check(!strcmp(listener_endpoint(listener), "127.0.0.1:0"), "%s",
	      listener_endpoint(listener));
	client = connect_loopback(AF_INET, port);
	run_until(&receiver, 1, PATIENCE_MS);
	if (check(receiver.count == 1, "%u connections", receiver.count)) {
		const struct sockaddr_in *peer = (const void *)&receiver.peer[0];

		check(fcntl(receiver.fd[0], F_GETFL) & O_NONBLOCK, "blocking");
		check(fcntl(receiver.fd[0], F_GETFD) & FD_CLOEXEC, "inherited by commands");
		check(peer->sin_family == AF_INET && peer->sin_port == port_of(client),
		      "port %u, not %u", ntohs(peer->sin_port), ntohs(port_of(client)));
	}
	close(client);
	close_received(&receiver);
	point("a connection is accepted, non-blocking, with its peer's address");

	listener_close(listener);
	client = connect_loopback(AF_INET, port);
	check(client < 0, "connected");
	point("a closed listener refuses connections");
}

/* Each connection takes as long as a callback may. */
static void test_slow_accept(void)
{
	struct receiver receiver = { .slow_us = 2 * MAX_CALLBACK_NS / 1000 };
	struct listener *listener = listener_test_open_listener("127.0.0.1:0", &receiver);
	in_port_t port = logged_port();
	unsigned int turns;
	int client[3];

	for (size_t i = 0; i < 3; i++)
		client[i] = connect_loopback(AF_INET, port);
	turns = run_until(&receiver, 3, PATIENCE_MS);
	check(receiver.count == 3, "%u connections", receiver.count);
	check(turns >= 3, "%u turns", turns);
	for (size_t i = 0; i < 3; i++)
		close(client[i]);
	close_received(&receiver);
	listener_close(listener);
	point("other events have their turn between connections that take long");
}

/* ---- priority ---- */

static unsigned int turns_of_others;

static void other_event(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	(void)argument;
	turns_of_others++;
}

static void operator_accepted(void *argument, int fd, const struct sockaddr *peer, socklen_t length)
{
	(void)peer;
	(void)length;
	*(unsigned int *)argument = turns_of_others;
	close(fd);
}

/* In a loop with priorities, accept one connection while another event is active all the time. */
static void test_priority(void)
{
	static const struct listen_callbacks operator_callbacks = { .accepted = operator_accepted };
	struct event_base *saved = base;
	unsigned int seen_at = UINT_MAX;
	struct listen_set *set;
	struct event *other;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), client;
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);

	base = event_base_new();
	if (fd < 0 || bind(fd, &address.sockaddr, length) ||
	    event_base_priority_init(base, PRIORITIES))
		err(1, "no socket");
	other = event_new(base, -1, 0, other_event, NULL);
	set = listen_create(base, &operator_callbacks, &seen_at);
	listen_prioritize(set);
	check(!listen_on_bound(set, fd, 8), "not listening");
	client = connect_loopback(AF_INET, port_of(fd));
	event_active(other, EV_TIMEOUT, 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	check(seen_at == 0, "accepted after %u turns of another event", seen_at);
	event_base_loop(base, EVLOOP_NONBLOCK);
	check(turns_of_others == 1, "%u turns of another event", turns_of_others);
	close(client);
	listen_close(set);
	event_free(other);
	event_base_free(base);
	base = saved;
	point("operators are accepted before other events, which follow");
}

static void test_everywhere(void)
{
	struct receiver receiver = { .count = 0 };
	struct listener *listener = listener_test_open_listener(":0", &receiver);
	in_port_t port = logged_port();
	int ipv4, ipv6;

	check(listener && count_lines(capture.text) == 1, "%s", capture.text);
	ipv4 = connect_loopback(AF_INET, port);
	check(ipv4 >= 0, "by IPv4: %s", strerror(errno));
	run_until(&receiver, 1, PATIENCE_MS);
	check(receiver.count == 1, "%u connections", receiver.count);
	close(ipv4);
	point("without a host one socket accepts on every address, by IPv4");
	if (has_ipv6()) {
		ipv6 = connect_loopback(AF_INET6, port);
		check(ipv6 >= 0, "by IPv6: %s", strerror(errno));
		run_until(&receiver, 2, PATIENCE_MS);
		check(receiver.count == 2, "%u connections", receiver.count);
		close(ipv6);
		point("and by IPv6");
	} else {
		tap_skip("and by IPv6", "no IPv6 here");
	}
	close_received(&receiver);
	listener_close(listener);
}

static void test_one_family(void)
{
	struct receiver receiver = { .count = 0 };
	struct listener *listener;
	int client;

	if (!has_ipv6()) {
		tap_skip("an IPv6 address", "no IPv6 here");
		return;
	}
	listener = listener_test_open_listener("[::1]:0", &receiver);
	check(listener && strstr(capture.text, "[::1]:"), "%s", capture.text);
	client = connect_loopback(AF_INET6, logged_port());
	run_until(&receiver, 1, PATIENCE_MS);
	check(client >= 0 && receiver.count == 1, "%u connections", receiver.count);
	close(client);
	client = connect_loopback(AF_INET, logged_port());
	check(client < 0, "by IPv4");
	close_received(&receiver);
	listener_close(listener);
	point("an IPv6 address is not one for IPv4");
}

static void test_listener_open_errors(void)
{
	struct receiver receiver = { .count = 0 };
	struct listener *listener = listener_test_open_listener("127.0.0.1:0", &receiver), *second;
	char text[32];

	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(logged_port()));
	second = listener_test_open_listener(text, &receiver);
	check(!second, "listens twice");
	check(strstr(capture.text, "stream adc: listen = 127.0.0.1:") &&
		      strstr(capture.text, ": Address already in use by this daemon; "),
	      "%s", capture.text);
	point("a port that is taken is an error, which is logged");
	listener_close(listener);

	check(!listener_test_open_listener("systemd:other", &receiver), "listens");
	check(strstr(capture.text, "no socket of this name was passed"), "%s", capture.text);
	point("so is a socket that was not passed");
}

static void listener_test_settled(void *argument)
{
	*(bool *)argument = true;
}

static struct names *listener_test_resolve(const char *host)
{
	static bool settled;
	struct names *names = names_create(base, listener_test_settled, &settled);

	settled = false;
	if (!names || !names_add(names, host))
		err(1, "%s", host);
	while (!settled)
		event_base_loop(base, EVLOOP_ONCE);
	return names;
}

static void test_name(void)
{
	struct receiver receiver = { .count = 0 };
	struct names *names = listener_test_resolve("localhost");
	struct listener *listener;

	check(!listener_test_open_listener("localhost:0", &receiver), "listens");
	check(strstr(capture.text, "the name was not resolved"), "%s", capture.text);
	test_names = names;
	listener = listener_test_open_listener("localhost:0", &receiver);
	test_names = NULL;
	names_free(names);
	check(listener && strstr(capture.text, "listening on 127.0.0.1:"), "%s", capture.text);
	if (listener)
		listener_close(listener);
	point("a name has the addresses that were resolved before");
}

static bool listener_test_has_child(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Close @listener, which waits, while it resolves its name. */
static void close_while_resolving(struct listener *listener)
{
	while (listener_test_has_child())
		event_base_loop(base, EVLOOP_ONCE);
	while (!listener_test_has_child())
		event_base_loop(base, EVLOOP_ONCE);
	listener_close(listener);
	while (listener_test_has_child())
		event_base_loop(base, EVLOOP_ONCE);
}

static void test_available(void)
{
	/* 192.0.2.0/24 is for documentation, and no machine has an address of it. */
	const char *missing = "192.0.2.77:0", *unknown = "name.invalid:0";
	struct receiver receiver = { .count = 0 };
	struct listener *listener = listener_test_open_listener(missing, &receiver);
	struct names *names = listener_test_resolve("name.invalid");

	check(!listener && strstr(capture.text, "Cannot assign requested address"), "%s",
	      capture.text);
	test_when = LISTEN_AVAILABLE;
	listener = listener_test_open_listener(missing, &receiver);
	if (check(listener != NULL, "%s", capture.text)) {
		check(!listener_waits_for(listener), "waits: %s", listener_waits_for(listener));
		check(strstr(capture.text, "does not have the address yet") &&
			      strstr(capture.text, "listening on 192.0.2.77:"),
		      "%s", capture.text);
		listener_close(listener);
	}
	point("with LISTEN_AVAILABLE it listens on an address that is missing");

	test_names = names;
	listener = listener_test_open_listener(unknown, &receiver);
	test_names = NULL;
	names_free(names);
	if (check(listener != NULL, "%s", capture.text)) {
		check(strstr(capture.text, "listen = name.invalid:0: ") &&
			      strstr(capture.text, "; trying again until it can listen\n"),
		      "%s", capture.text);
		check(listener_waits_for(listener) != NULL, "listens");
		/* Several attempts with the same reason. */
		capture_begin(&capture, STDERR_FILENO);
		run_until(&receiver, 1, 1000);
		capture_end(&capture);
		check(!*capture.text, "%s", capture.text);
		close_while_resolving(listener);
	}
	point("and waits for a name that has no address, without a line for each attempt");

	listener = listener_test_open_listener("systemd:other", &receiver);
	check(!listener, "waits for a socket");
	test_when = LISTEN_NOW;
	point("but not for a socket that was not passed");
}

static void test_hand_over(void)
{
	struct receiver first = { .count = 0 }, second = { .count = 0 };
	struct listener *listener = listener_test_open_listener("127.0.0.1:0", &first);
	in_port_t port = logged_port();
	int client[2];

	client[0] = connect_loopback(AF_INET, port);
	run_until(&first, 1, PATIENCE_MS);
	/* This one is connected, but not accepted yet. */
	client[1] = connect_loopback(AF_INET, port);
	listener_hand_over(listener, "log", &callbacks, &second);
	run_until(&second, 1, PATIENCE_MS);
	check(first.count == 1, "%u connections before", first.count);
	check(second.count == 1, "%u connections after", second.count);
	point("connections that were not accepted before go to the next stream");
	close_received(&first);
	close_received(&second);

	/* What a failed accept() says is that of the new stream. */
	close(client[1]);
	client[1] = connect_loopback(AF_INET, port);
	capture_begin(&capture, STDERR_FILENO);
	limit_descriptors(0);
	run_until(&second, 1, PAUSE_MS / 5);
	limit_descriptors(-1);
	capture_end(&capture);
	check(strstr(capture.text, "stream log: endpoint 127.0.0.1:0: accept: "), "%s",
	      capture.text);
	point("and so does what is logged");
	close(client[0]);
	close(client[1]);
	listener_close(listener);
}

static void test_passed(void)
{
	struct receiver receiver = { .count = 0 };
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);
	int passed = socket(AF_INET, SOCK_STREAM, 0), client;
	struct listener *listener;
	in_port_t port;
	char pid[16];

	/* Number 3 is free: see main(). */
	if (passed != SD_LISTEN_FDS_START || bind(passed, &address.sockaddr, length) ||
	    listen(passed, 8))
		err(1, "a socket to pass");
	port = port_of(passed);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "web", 1);
	check(service_init(), "not taken");
	base = event_base_new();
	listener = listener_test_open_listener("systemd:web", &receiver);
	check(listener && logged_port() == port, "%s", capture.text);
	client = connect_loopback(AF_INET, port);
	run_until(&receiver, 1, PATIENCE_MS);
	check(receiver.count == 1, "%u connections", receiver.count);
	close(client);
	close_received(&receiver);
	listener_close(listener);
	point("a socket that the service manager passed accepts");

	client = connect_loopback(AF_INET, port);
	check(client >= 0, "%s", strerror(errno));
	close(client);
	listener = listener_test_open_listener("systemd:web", &receiver);
	run_until(&receiver, 1, PATIENCE_MS);
	check(receiver.count == 1, "%u connections", receiver.count);
	close_received(&receiver);
	listener_close(listener);
	point("and stays open for the next listener");
	close(passed);
}

/* ---- too few descriptors ---- */

static void test_no_descriptors(void)
{
	struct receiver receiver = { .count = 0 };
	struct listener *listener = listener_test_open_listener("127.0.0.1:0", &receiver);
	in_port_t port = logged_port();
	unsigned int turns;
	int client[3];

	for (int i = 0; i < 3; i++)
		client[i] = connect_loopback(AF_INET, port);
	capture_begin(&capture, STDERR_FILENO);
	limit_descriptors(0);
	turns = run_until(&receiver, 1, PAUSE_MS * 4 / 5);
	limit_descriptors(-1);
	capture_end(&capture);
	check(receiver.count == 0, "%u connections", receiver.count);
	check(turns <= 6, "%u turns of the loop", turns);
	check(count_lines(capture.text) == 1 &&
		      strstr(capture.text, "stream adc: endpoint 127.0.0.1:0: accept: Too many "
					   "open files; new clients have to wait; raise the limit"),
	      "%s", capture.text);
	point("without descriptors accepting pauses, which is logged");

	/* Another client has left, as it were: one is accepted, and then it pauses again. */
	capture_begin(&capture, STDERR_FILENO);
	limit_descriptors(1);
	turns = run_until(&receiver, 2, 2 * PAUSE_MS + PAUSE_MS / 2);
	limit_descriptors(-1);
	capture_end(&capture);
	check(receiver.count == 1, "%u connections", receiver.count);
	check(turns <= 12, "%u turns of the loop", turns);
	check(!*capture.text, "%s", capture.text);
	point("with one descriptor one is accepted, and the next pause is not logged");

	run_until(&receiver, 3, PATIENCE_MS);
	check(receiver.count == 3, "%u connections", receiver.count);
	point("with enough the others are accepted, by itself");
	for (int i = 0; i < 3; i++)
		close(client[i]);
	close_received(&receiver);
	listener_close(listener);
}

/* ---- listeners of another library ---- */

static struct receiver foreign;
static struct evconnlistener *foreign_socket[MAX_LISTEN_SOCKETS];
static unsigned int foreign_sockets;

static void foreign_accepted(struct evconnlistener *socket, evutil_socket_t fd,
			     struct sockaddr *peer, int length, void *argument)
{
	(void)socket;
	receive_connection(argument, fd, peer, (socklen_t)length);
}

/* As evhttp does: with an argument of its own. */
static struct evconnlistener *foreign_attach(void *argument, int fd)
{
	struct evconnlistener *socket =
		evconnlistener_new(base, foreign_accepted, &foreign,
				   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);

	(void)argument;
	foreign_socket[foreign_sockets++] = socket;
	return socket;
}

static void foreign_describe(void *argument, char *text, size_t size)
{
	(void)argument;
	snprintf(text, size, "foreign");
}

static void test_foreign(void)
{
	static const struct listen_callbacks foreign_callbacks = { .attach = foreign_attach,
								   .describe = foreign_describe };
	const struct listen_options options = { .backlog = 8, .loopback = true };
	const struct address address = { .port = "0" };
	struct listen_set *set = listen_create(base, &foreign_callbacks, NULL);
	const char *error = listen_on_address(set, &address, &options);
	in_port_t port;
	int client;

	if (!check(!error, "%s", error))
		return;
	port = port_of(evconnlistener_get_fd(foreign_socket[foreign_sockets - 1]));
	client = connect_loopback(AF_INET, port);
	if (client < 0) /* its family is the other one */
		client = connect_loopback(AF_INET6, port);
	check(client >= 0, "%s", strerror(errno));
	capture_begin(&capture, STDERR_FILENO);
	limit_descriptors(0);
	run_until(&foreign, 1, PAUSE_MS / 5);
	limit_descriptors(-1);
	capture_end(&capture);
	check(!strncmp(capture.text, "test: warning: foreign: accept: Too many open files", 51),
	      "%s", capture.text);
	listen_hold(set);
	run_until(&foreign, 1, 2 * PAUSE_MS);
	check(foreign.count == 0, "accepted while it is held");
	listen_release(set);
	run_until(&foreign, 1, PATIENCE_MS);
	check(foreign.count == 1, "%u connections", foreign.count);
	point("where a library accepts: pauses without descriptors, and while it is held");
	close(client);
	close_received(&foreign);
	listen_close(set);
	while (foreign_sockets)
		evconnlistener_free(foreign_socket[--foreign_sockets]);
}

int main(void)
{
	unsetenv("JOURNAL_STREAM");
	log_init("test");
	for (int fd = SD_LISTEN_FDS_START; fd < 16; fd++)
		close(fd);
	test_passed(); /* makes the base */
	test_accept();
	test_slow_accept();
	test_priority();
	test_everywhere();
	test_one_family();
	test_listener_open_errors();
	test_name();
	test_available();
	test_hand_over();
	if (tap_under_valgrind()) {
		tap_skip("accepting without descriptors",
			 "valgrind accepts the connection, and then closes it");
	} else {
		test_no_descriptors();
		test_foreign();
	}
	resolver_forget(base);
	event_base_free(base);
	return tap_end();
}
