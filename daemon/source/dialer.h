/* SPDX-License-Identifier: BSD-2-Clause */
/* Connecting, without waiting, to a Unix socket or to the first address of a TCP host that answers. */
#ifndef DMACAST_DIALER_H
#define DMACAST_DIALER_H

#include "lib/input.h"

struct dialer;
struct event_base;

/**
 * dialer_start() - connect to @input, which is INPUT_UNIX or INPUT_TCP and must outlive the dialer.
 * @connected: called once from the event loop, and never from within dialer_start(). @fd: a
 *	non-blocking socket, which the callee takes over; or -1, and @error says why,
 *	for each address of a name. It may free the dialer.
 *
 * A TCP connection whose peer does not answer for 30 seconds ends with an error.
 *
 * Return: NULL without memory.
 */
struct dialer *dialer_start(struct event_base *base, const struct input *input,
			    void (*connected)(void *argument, int fd, const char *error),
			    void *argument);

/** dialer_cancel() - give up, if it still tries, and free the dialer. */
void dialer_cancel(struct dialer *dialer);

#endif
