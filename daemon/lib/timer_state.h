/* SPDX-License-Identifier: BSD-2-Clause */
/* A timer of libevent in the state of a handover. */
#ifndef DMACAST_TIMER_STATE_H
#define DMACAST_TIMER_STATE_H

struct event;
struct state;

/**
 * timer_transfer() - save when @timer is due, or that it is not pending; restoring, add it again. One that was due during
 * the handover expires at once.
 */
void timer_transfer(struct event *timer, struct state *state, const char *name);

#endif
