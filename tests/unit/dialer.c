// SPDX-License-Identifier: BSD-2-Clause
/* Connections that are made without waiting, to real sockets. */
#include "source/dialer.h"

#include "loopback.h"
#include "tap.h"

#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct dialed {
	int fd;
	unsigned int calls;
	char error[1024];
} dialed;

static void dialer_test_connected(void *argument, int fd, const char *error)
{
	(void)argument;
	dialed.calls++;
	dialed.fd = fd;
	snprintf(dialed.error, sizeof(dialed.error), "%s", fd < 0 ? error : "");
}

/* Connect to `input = TEXT`, or find out why not. */
static void dial(const char *text)
{
	struct event_base *base = event_base_new();
	struct dialer *dialer;
	struct input input;
	const char *expected;

	dialed = (struct dialed){ .fd = -1 };
	if (!input_parse(text, &input, &expected))
		errx(1, "%s: expected %s", text, expected);
	dialer = dialer_start(base, &input, dialer_test_connected, NULL);
	check(dialer && !dialed.calls, "called at once");
	while (!dialed.calls && event_base_loop(base, EVLOOP_ONCE) == 0)
		;
	check(dialed.calls == 1, "%u calls", dialed.calls);
	dialer_cancel(dialer);
	event_base_free(base);
}

static int socket_option(int level, int option)
{
	socklen_t length = sizeof(int);
	int value = -1;

	check(!getsockopt(dialed.fd, level, option, &value, &length), "%s", strerror(errno));
	return value;
}

/* Return: a socket that listens, and its port. */
static int dialer_test_listen(unsigned int *port)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, &address.sockaddr, length) || listen(fd, 1) ||
	    getsockname(fd, &address.sockaddr, &length))
		err(1, "listen");
	*port = ntohs(address.in.sin_port);
	return fd;
}

static void test_keepalive(void)
{
	unsigned int port;
	int listening = dialer_test_listen(&port), idle, interval, count;
	char text[64];

	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", port);
	dial(text);
	check(dialed.fd >= 0, "%s", dialed.error);
	idle = socket_option(IPPROTO_TCP, TCP_KEEPIDLE);
	interval = socket_option(IPPROTO_TCP, TCP_KEEPINTVL);
	count = socket_option(IPPROTO_TCP, TCP_KEEPCNT);
	check(socket_option(SOL_SOCKET, SO_KEEPALIVE) == 1, "off");
	check(idle + count * interval == 30, "%d s and %d times %d s", idle, count, interval);
	check(socket_option(IPPROTO_TCP, TCP_USER_TIMEOUT) == 30000, "another TCP_USER_TIMEOUT");
	close(dialed.fd);
	close(listening);
	point("a TCP connection notices within 30 s that its peer is gone");
}

static void test_errors(void)
{
	char text[64], wanted[96];
	unsigned int port;

	close(dialer_test_listen(&port));
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", port);
	dial(text);
	check(dialed.fd < 0 && !strcmp(dialed.error, "Connection refused"), "%s", dialed.error);
	point("an address that refuses: its error");

	snprintf(text, sizeof(text), "tcp:localhost:%u", port);
	snprintf(wanted, sizeof(wanted), "127.0.0.1:%u: Connection refused", port);
	dial(text);
	check(dialed.fd < 0 && strstr(dialed.error, wanted), "%s", dialed.error);
	check(!strstr(dialed.error, "[::1]") || strstr(dialed.error, "[::1]:"), "%s", dialed.error);
	point("a name: each of its addresses, with its error");

	dial("unix:/nonexistent/socket");
	check(dialed.fd < 0 && !strcmp(dialed.error, "No such file or directory"), "%s",
	      dialed.error);
	point("a Unix socket: its error");
}

int main(void)
{
	alarm(60);
	test_keepalive();
	test_errors();
	return tap_end();
}
