/* SPDX-License-Identifier: BSD-2-Clause */
/* An endpoint: the listening sockets of one "HOST:PORT". */
#ifndef DMACAST_LISTENER_H
#define DMACAST_LISTENER_H

#include <sys/socket.h>

struct event_base;
struct listener;

struct listener_owner {
	void *argument;
	/* A new connection, non-blocking, now the owner's. */
	void (*accepted)(void *argument, int fd, const struct sockaddr *peer, socklen_t length);
};

/**
 * listener_open() - listen on every address that @endpoint stands for.
 * @name: the stream, for the log; must outlive the listener, like @endpoint
 *
 * When there are no descriptors left, accepting pauses and goes on by itself.
 *
 * Return: NULL after an error, which was logged.
 */
struct listener *listener_open(struct event_base *base, const char *name, const char *endpoint,
			       const struct listener_owner *owner);

/** listener_set_owner() - hand it over: who is told of new connections from now on. */
void listener_set_owner(struct listener *listener, const struct listener_owner *owner);

/** listener_close() - stop to listen, and free the listener. */
void listener_close(struct listener *listener);

#endif
