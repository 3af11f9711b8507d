/* SPDX-License-Identifier: BSD-2-Clause */
/* An event loop that runs for some time. */
#ifndef RUNLOOP_H
#define RUNLOOP_H

#include "lib/clock.h"

#include <event2/event.h>

static inline void runloop_ms(struct event_base *base, unsigned int milliseconds)
{
	const struct timeval delay = clock_timeval(milliseconds * 1000ULL);

	/* Its end is an event, too, so that a loop without others does not end earlier. */
	event_base_loopexit(base, &delay);
	event_base_dispatch(base);
}

#endif
