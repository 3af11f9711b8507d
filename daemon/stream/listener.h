/* SPDX-License-Identifier: BSD-2-Clause */
/* An endpoint: the listening sockets of one "HOST:PORT" or "systemd:NAME". */
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
 * listener_open() - listen on every address that @text stands for, or on every socket of that name
 * that the service manager passed. These stay open when the listener is closed.
 * @name: the stream, for the log; must outlive the listener
 * @text: the endpoint; is copied
 *
 * When there are no descriptors left, accepting pauses and goes on by itself.
 *
 * Return: NULL after an error, which was logged.
 */
struct listener *listener_open(struct event_base *base, const char *name, const char *text,
			       const struct listener_owner *owner);

/**
 * listener_set_owner() - hand it over: who is told of new connections from now on.
 * @name: as for listener_open()
 */
void listener_set_owner(struct listener *listener, const char *name,
			const struct listener_owner *owner);

/** listener_endpoint() - the text that it was opened with. */
const char *listener_endpoint(const struct listener *listener);

/** listener_close() - stop to listen, and free the listener. */
void listener_close(struct listener *listener);

#endif
