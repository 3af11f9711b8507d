// SPDX-License-Identifier: BSD-2-Clause
/*
 * servicemanager - plays systemd for a service under test: passes sockets, and records its
 * notifications.
 *
 *	servicemanager [--listen NAME=HOST:PORT]... [--connected NAME] [--watchdog USEC]
 *	               [--told FILE] COMMAND...
 *
 * --listen passes a listening TCP socket, --connected one of a pair that does not listen. With --told
 * there is a notification socket; each message is a line of FILE, with the time in milliseconds and the
 * sender's process id before it. COMMAND takes the place of this process, a child writes the file and
 * ends after it.
 */
#include "lib/address.h"

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PASSED 3
/* Sockets are kept from this descriptor on until they are installed. */
#define FIRST_KEPT 100
#define MAX_PASSED 32

static struct {
	int fd[MAX_PASSED];
	char names[1024];
	unsigned int count;
} passed;

static void pass(int fd, const char *name)
{
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_KEPT);

	if (passed.count == MAX_PASSED || kept < 0 ||
	    strlen(passed.names) + strlen(name) + 2 > sizeof(passed.names))
		errx(2, "%s: too many sockets", name);
	close(fd);
	passed.fd[passed.count] = kept;
	if (passed.count++)
		strcat(passed.names, ":");
	strcat(passed.names, name);
}

static int listen_to_pass(const char *endpoint)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *info;
	struct address address;
	const char *expected;
	int one = 1, fd;

	if (!address_parse(endpoint, &address, &expected))
		errx(2, "%s: expected %s", endpoint, expected);
	if (getaddrinfo(*address.host ? address.host : NULL, address.port, &hints, &info))
		errx(2, "%s: unknown", endpoint);
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen) || listen(fd, SOMAXCONN))
		err(2, "%s", endpoint);
	freeaddrinfo(info);
	return fd;
}

static void pass_listening(char *text)
{
	char *endpoint = strchr(text, '=');

	if (!endpoint)
		errx(2, "%s: expected NAME=HOST:PORT", text);
	*endpoint++ = '\0';
	pass(listen_to_pass(endpoint), text);
}

static void pass_connected(const char *name)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		err(2, "socketpair");
	pass(pair[0], name);
}

/* ---- notifications ---- */

/* Create it in the abstract namespace, so that no file remains. */
static int open_notifications(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;
	char variable[sizeof(address.sun_path)];
	socklen_t length;

	snprintf(variable, sizeof(variable), "@dmacast-test-%d", (int)getpid());
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(variable));
	memcpy(address.sun_path + 1, variable + 1, strlen(variable) - 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)))
		err(2, "notification socket");
	setenv("NOTIFY_SOCKET", variable, 1);
	return fd;
}

static bool write_message(int fd, FILE *file)
{
	char text[4096], control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec piece = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct ucred sender = { 0 };
	struct cmsghdr *header;
	struct timespec now;
	ssize_t length;

	message.msg_control = control;
	message.msg_controllen = sizeof(control);
	length = recvmsg(fd, &message, MSG_DONTWAIT);
	if (length < 0)
		return false;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_CREDENTIALS)
		memcpy(&sender, CMSG_DATA(header), sizeof(sender));
	text[length] = '\0';
	for (char *c = text; *c; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	fprintf(file, "%lld %d %s\n", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
		(int)sender.pid, text);
	fflush(file);
	return true;
}

static void write_down(int fd, const char *path, pid_t command)
{
	FILE *file = fopen(path, "we");
	struct pollfd wait[2] = { { .fd = fd, .events = POLLIN },
				  { .fd = pidfd_open(command, 0), .events = POLLIN } };

	if (!file || wait[1].fd < 0)
		err(2, "%s", path);
	while (!wait[1].revents) {
		if (poll(wait, 2, -1) < 0)
			err(2, "poll");
		while (write_message(fd, file))
			;
	}
}

static void start_writer(const char *path)
{
	int fd = open_notifications();
	pid_t command = getpid(), child;

	signal(SIGCHLD, SIG_IGN);
	child = fork();
	if (child < 0)
		err(2, "fork");
	if (child == 0) {
		write_down(fd, path, command);
		_exit(0);
	}
	signal(SIGCHLD, SIG_DFL);
	close(fd);
}

/* ---- the environment of the command ---- */

static void set_variable(const char *name, long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", number);
	setenv(name, text, 1);
}

static void install_passed(void)
{
	if (!passed.count)
		return;
	for (unsigned int i = 0; i < passed.count; i++) {
		if (dup2(passed.fd[i], FIRST_PASSED + (int)i) < 0)
			err(2, "dup2");
	}
	set_variable("LISTEN_PID", getpid());
	set_variable("LISTEN_FDS", passed.count);
	setenv("LISTEN_FDNAMES", passed.names, 1);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "listen", required_argument, NULL, 'l' },
						 { "connected", required_argument, NULL, 'c' },
						 { "watchdog", required_argument, NULL, 'w' },
						 { "told", required_argument, NULL, 't' },
						 { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			pass_listening(optarg);
			break;
		case 'c':
			pass_connected(optarg);
			break;
		case 'w':
			setenv("WATCHDOG_USEC", optarg, 1);
			set_variable("WATCHDOG_PID", getpid());
			break;
		case 't':
			start_writer(optarg);
			break;
		default:
			return 2;
		}
	}
	if (optind == argc)
		errx(2, "expected a command");
	install_passed();
	execvp(argv[optind], argv + optind);
	err(2, "%s", argv[optind]);
}
