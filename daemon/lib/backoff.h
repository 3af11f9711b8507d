/* SPDX-License-Identifier: BSD-2-Clause */
/* The delay before the next try: twice as long each time, within bounds. */
#ifndef DMACAST_BACKOFF_H
#define DMACAST_BACKOFF_H

#include "lib/clock.h"
#include "lib/state.h"

#include <stdint.h>
#include <sys/time.h>

#define MIN_BACKOFF_US 100000ULL
#define MAX_BACKOFF_US 10000000ULL
/* A connection or command that lived this long begins with the shortest delay again. */
#define BACKOFF_STEADY_NS 5000000000ULL

struct backoff {
	uint64_t next_us;
};

/** backoff_reset() - begin with the shortest delay. */
static inline void backoff_reset(struct backoff *backoff)
{
	backoff->next_us = MIN_BACKOFF_US;
}

/** backoff_take() - return the delay; the next one is longer. */
static inline struct timeval backoff_take(struct backoff *backoff)
{
	struct timeval delay = clock_timeval(backoff->next_us);

	backoff->next_us *= 2;
	if (backoff->next_us > MAX_BACKOFF_US)
		backoff->next_us = MAX_BACKOFF_US;
	return delay;
}

/** backoff_transfer() - save or restore the object @name; see state.h. */
static inline void backoff_transfer(struct backoff *backoff, struct state *state, const char *name)
{
	state_enter(state, name);
	state_u64(state, "next_us", &backoff->next_us);
	if (backoff->next_us < MIN_BACKOFF_US || backoff->next_us > MAX_BACKOFF_US)
		state_fail(state, "next_us: out of range");
	state_leave(state);
}

#endif
