/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long the event loop is busy: a turn begins when the poll for events returns and ends with the next one.
 * Whatever needs the loop waits for at most one turn, so a long turn is a delay of everything.
 *
 * The time for which the process waited for a CPU is not the loop's. It is known to 10 ms, and subtracted
 * where a turn seems to have taken more than 50 ms.
 */
#ifndef DMACAST_LOOP_TIME_H
#define DMACAST_LOOP_TIME_H

#include "lib/histogram.h"

#include <event2/event.h>
#include <stdint.h>

#define LOOP_HAS_HOOKS (LIBEVENT_VERSION_NUMBER >= 0x02020000)

struct epoll_event;

struct loop_time {
	struct histogram turns;
	uint64_t longest_ns; /* the longest turn */
};

/** loop_time_start() - measure the turns of @base from now on. It is the only loop of the process. */
void loop_time_start(struct event_base *base);

/** loop_time_stop() - measure no more; what was measured stays. */
void loop_time_stop(void);

/** loop_time_poll() - do what epoll_wait() does, and measure. For libevent without hooks: see loop_time.c. */
int loop_time_poll(int fd, struct epoll_event *events, int most, int timeout);

/** loop_time() - return what was measured since the start. */
const struct loop_time *loop_time(void);

#endif
