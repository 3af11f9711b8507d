/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accepting producers, which connect to the daemon and write: one at a time. The others wait in the
 * queue of the listening socket, and the kernel keeps what they have sent, up to their socket buffers.
 *
 *   IDLE ─ acceptor_next() ─▶ WAITING ─ a producer connects, acceptor_cancel() ─▶ IDLE
 *
 * Acceptors of the same address or path share one socket. A reload opens the successor of a stream before
 * the stream ends; producers that wait meanwhile go to the successor.
 */
#ifndef DMACAST_ACCEPTOR_H
#define DMACAST_ACCEPTOR_H

#include "lib/input.h"

#include <stdbool.h>

struct acceptor;
struct event_base;
struct names;
struct state;

/* Enough for each text that names a producer, and for each reason of acceptor_open(). */
#define PRODUCER_TEXT 64
#define ACCEPTOR_WRONG 192

struct acceptor_callbacks {
	/* Take over @fd, which is non-blocking. @peer: "192.0.2.1:4000", or "pid 12, uid 0" */
	void (*accepted)(void *argument, int fd, const char *peer);
};

/**
 * acceptor_open() - listen, and accept nothing yet.
 * @name: of the stream, for the log; must outlive the acceptor
 * @text: of the input, for the log; must outlive the acceptor
 * @input: INPUT_UNIX_LISTEN or INPUT_TCP_LISTEN
 * @names: has the host of INPUT_TCP_LISTEN, if that is a name; used during the call only
 * @callbacks: must outlive the acceptor
 * @wrong: out: why not, on failure
 *
 * Return: NULL after an error, which was not logged.
 */
struct acceptor *acceptor_open(struct event_base *base, const char *name, const char *text,
			       const struct input *input, const struct names *names,
			       const struct acceptor_callbacks *callbacks, void *argument,
			       char wrong[ACCEPTOR_WRONG]);

/** acceptor_is_listening() - return true if acceptor_open() would share a socket that exists. */
bool acceptor_is_listening(const struct input *input);

/** acceptor_next() - accept one more producer, now or later, from the event loop. */
void acceptor_next(struct acceptor *acceptor);

/** acceptor_cancel() - undo acceptor_next(): let producers wait in the queue. */
void acceptor_cancel(struct acceptor *acceptor);

/** acceptor_save() - save the acceptor as the object "acceptor", with the listening sockets and their queues. */
void acceptor_save(const struct acceptor *acceptor, struct state *state);

/**
 * acceptor_restore() - accept again on the sockets of the object "acceptor", or on those that another restored acceptor
 * of the same address has. The arguments are those of acceptor_open().
 *
 * Return: NULL if the state has failed.
 */
struct acceptor *acceptor_restore(struct event_base *base, const char *name, const char *text,
				  const struct input *input,
				  const struct acceptor_callbacks *callbacks, void *argument,
				  struct state *state);

/** acceptor_close() - accept no more, and free @acceptor. NULL is allowed. */
void acceptor_close(struct acceptor *acceptor);

#endif
