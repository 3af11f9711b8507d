/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a child process, as an event. */
#ifndef DMACAST_CHILD_H
#define DMACAST_CHILD_H

#include <event2/event.h>
#include <stdbool.h>
#include <sys/types.h>

/**
 * child_watch_exit() - call @exited when the child may have exited, until event_del().
 * @event: out: the event
 * @pidfd: out: the descriptor of @event, readable once the child has exited; the caller closes it. -1: the
 *	kernel has none, or descriptors have run out; then @exited is called for the end of any child
 *
 * Return: false without memory.
 */
bool child_watch_exit(struct event *event, struct event_base *base, pid_t child, int *pidfd,
		      event_callback_fn exited, void *argument);

#endif
