/* SPDX-License-Identifier: BSD-2-Clause */
/* Both ends of a TCP connection over loopback, and a check of the data that arrives at one of them. */
#ifndef DMACAST_TEST_LOOPBACK_H
#define DMACAST_TEST_LOOPBACK_H

#include "lib/pattern.h"
#include "tap.h"

#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOPBACK_SEND_BUFFER (256 << 10)

union any_address {
	struct sockaddr sockaddr;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Address families of the socket that listens, and of the address that the peer connects to. */
struct family {
	const char *name;
	int listening, connecting;
};

static inline socklen_t loopback(union any_address *address, int family, in_port_t port)
{
	memset(address, 0, sizeof(*address));
	if (family == AF_INET) {
		address->in.sin_family = AF_INET;
		address->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address->in.sin_port = port;
		return sizeof(address->in);
	}
	address->in6.sin6_family = AF_INET6;
	address->in6.sin6_addr = in6addr_loopback;
	address->in6.sin6_port = port;
	return sizeof(address->in6);
}

/*
 * Connect @peer to @sender, which does not block and has a small send buffer. @receive_buffer: bytes of the
 * peer's receive buffer; 0: one that grows. Return: false if the family is not available.
 */
static inline bool connect_pair(const struct family *family, int receive_buffer, int *sender,
				int *peer)
{
	const int one = 1, zero = 0, send_buffer = LOOPBACK_SEND_BUFFER;
	union any_address address;
	socklen_t length = loopback(&address, family->listening, 0);
	int listener = socket(family->listening, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0)
		return false;
	if (family->listening != family->connecting) {
		address.in6.sin6_addr = in6addr_any;
		setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	}
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
	if (bind(listener, &address.sockaddr, length) || listen(listener, 1) ||
	    getsockname(listener, &address.sockaddr, &length)) {
		close(listener);
		return false;
	}
	/* The port has the same offset in both kinds of address. */
	length = loopback(&address, family->connecting, address.in.sin_port);
	*peer = socket(family->connecting, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (receive_buffer)
		setsockopt(*peer, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	if (*peer < 0 || connect(*peer, &address.sockaddr, length))
		err(1, "connect");
	*sender = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (*sender < 0)
		err(1, "accept");
	close(listener);
	return true;
}

/*
 * Read everything that has arrived of the pattern, after the first *@received bytes, and check it. Return: the
 * result of the last recv(), which found nothing more.
 */
static inline ssize_t receive_pattern(int fd, uint64_t *received)
{
	static unsigned char buffer[256 << 10];
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
		size_t right = pattern_check(buffer, (size_t)n, *received);

		check(right == (size_t)n, "byte %" PRIu64 " is wrong", *received + right);
		*received += (uint64_t)n;
	}
	return n;
}

#endif
