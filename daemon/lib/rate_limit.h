/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A limit of events per second, which lets the events of one second come at once after a pause. Only the
 * time at which the events so far would be over at an even pace is kept, so that the limit can change.
 */
#ifndef DMACAST_RATE_LIMIT_H
#define DMACAST_RATE_LIMIT_H

#include "lib/state.h"

#include <stdbool.h>
#include <stdint.h>

#define RATE_LIMIT_BURST_NS 1000000000ULL

/* All zero: nothing has happened. */
struct rate_limit {
	uint64_t even_ns; /* monotonic */
};

/**
 * rate_limit_allows() - return true if one more event may happen.
 * @rate: events a second, at most 1000000000; 0: no limit
 * @now_ns: monotonic
 */
static inline bool rate_limit_allows(const struct rate_limit *limit, uint64_t rate, uint64_t now_ns)
{
	uint64_t ahead_ns = limit->even_ns > now_ns ? limit->even_ns - now_ns : 0;

	return !rate || ahead_ns + RATE_LIMIT_BURST_NS / rate <= RATE_LIMIT_BURST_NS;
}

/** rate_limit_count() - count an event that was allowed. Parameters as of rate_limit_allows(). */
static inline void rate_limit_count(struct rate_limit *limit, uint64_t rate, uint64_t now_ns)
{
	if (limit->even_ns < now_ns)
		limit->even_ns = now_ns;
	if (rate)
		limit->even_ns += RATE_LIMIT_BURST_NS / rate;
	/* After a lower limit was raised: do not wait for the old one. */
	if (limit->even_ns > now_ns + RATE_LIMIT_BURST_NS)
		limit->even_ns = now_ns + RATE_LIMIT_BURST_NS;
}

/** rate_limit_transfer() - save or restore the object @name; see state.h. */
static inline void rate_limit_transfer(struct rate_limit *limit, struct state *state,
				       const char *name)
{
	state_enter(state, name);
	state_u64(state, "even_ns", &limit->even_ns);
	state_leave(state);
}

#endif
