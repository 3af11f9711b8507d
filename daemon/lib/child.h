/* SPDX-License-Identifier: BSD-2-Clause */
/* A child process of the daemon: its start by fork(), and its end as an event. */
#ifndef DMACAST_CHILD_H
#define DMACAST_CHILD_H

#include <event2/event.h>
#include <stdbool.h>
#include <sys/types.h>

/**
 * child_fork() - fork(), with all signals blocked in the child: no handler of the daemon may run there.
 *
 * Return: as fork().
 */
pid_t child_fork(void);

/**
 * child_end_with() - let the kernel kill this child when @parent ends, the process that has made it.
 *
 * Return: false if @parent has ended already.
 */
bool child_end_with(pid_t parent);

/** child_reset_signals() - in the child, give all signals their default actions, and block none. */
void child_reset_signals(void);

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
