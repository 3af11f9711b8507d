/* SPDX-License-Identifier: BSD-2-Clause */
/* How long to wait before something is tried again: twice as long each time, within bounds. */
#ifndef DMACAST_BACKOFF_H
#define DMACAST_BACKOFF_H

#include "lib/clock.h"

#include <stdint.h>
#include <sys/time.h>

#define MIN_BACKOFF_US 100000ULL
#define MAX_BACKOFF_US 10000000ULL
/* What lived so long is tried again at once when it ends. */
#define BACKOFF_STEADY_NS 5000000000ULL

struct backoff {
	uint64_t next_us;
};

/** backoff_reset() - begin with the shortest time. */
static inline void backoff_reset(struct backoff *backoff)
{
	backoff->next_us = MIN_BACKOFF_US;
}

/** backoff_take() - the time to wait now; the next one is longer. */
static inline struct timeval backoff_take(struct backoff *backoff)
{
	struct timeval delay = clock_timeval(backoff->next_us);

	backoff->next_us *= 2;
	if (backoff->next_us > MAX_BACKOFF_US)
		backoff->next_us = MAX_BACKOFF_US;
	return delay;
}

#endif
