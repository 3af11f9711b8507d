// SPDX-License-Identifier: BSD-2-Clause
#include "lib/rate.h"

#define RATE_WINDOW_NS 1000000000ULL
#define RATE_SILENCE_NS (2 * RATE_WINDOW_NS)

void rate_note(struct rate *rate, uint64_t count, uint64_t now_ns)
{
	const struct rate_point now = { .ns = now_ns, .count = count };

	if (!rate->changed_ns) {
		rate->previous = rate->current = now;
	} else if (now_ns - rate->current.ns >= RATE_WINDOW_NS) {
		rate->previous = rate->current;
		rate->current = now;
	}
	rate->changed_ns = now_ns;
}

uint64_t rate_per_second(const struct rate *rate, uint64_t count, uint64_t now_ns)
{
	const struct rate_point *since = &rate->previous;

	if (!rate->changed_ns || now_ns - rate->changed_ns >= RATE_SILENCE_NS ||
	    now_ns == since->ns)
		return 0;
	return (uint64_t)((double)(count - since->count) * 1e9 / (double)(now_ns - since->ns));
}
