/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection to a producer from which a stream can be read: the dialer connects, and with http: the stream is asked
 * for, and the head of the answer is taken off.
 */
#ifndef DMACAST_CALLER_H
#define DMACAST_CALLER_H

#include "lib/input.h"

struct caller;
struct event_base;

/**
 * caller_start() - connect to @input, which input_connects() and must outlive the caller.
 * @format, @start: for http: the parameters of the request in place of those of the URL, see struct stream_request;
 *	copied
 * @connected: called once from the event loop, and never from within caller_start(). @fd: a non-blocking socket, which
 *	the callee takes over; the next byte is the first one of the stream. -1: @error says why. It may free the caller.
 *
 * A server that does not answer a request within 10 seconds is an error.
 *
 * Return: NULL without memory.
 */
struct caller *caller_start(struct event_base *base, const struct input *input, const char *format,
			    const char *start,
			    void (*connected)(void *argument, int fd, const char *error),
			    void *argument);

/** caller_status() - return the status of the answer by HTTP; 0: there is none. */
unsigned int caller_status(const struct caller *caller);

/** caller_cancel() - give up, if it still tries, and free the caller. */
void caller_cancel(struct caller *caller);

#endif
