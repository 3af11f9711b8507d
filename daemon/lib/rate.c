// SPDX-License-Identifier: BSD-2-Clause
#include "lib/rate.h"

#include "lib/state.h"

#include <stdbool.h>

#define RATE_WINDOW_NS 1000000000ULL

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

/* The counter has stopped if it has not changed for much longer than it took before. */
static bool rate_is_silent(const struct rate *rate, uint64_t now_ns)
{
	uint64_t usual_ns = rate->current.ns - rate->previous.ns;

	return now_ns - rate->changed_ns >=
	       2 * (usual_ns > RATE_WINDOW_NS ? usual_ns : RATE_WINDOW_NS);
}

uint64_t rate_per_second(const struct rate *rate, uint64_t count, uint64_t now_ns)
{
	const struct rate_point *since = &rate->previous;

	if (!rate->changed_ns || rate_is_silent(rate, now_ns) || now_ns == since->ns)
		return 0;
	return (uint64_t)((double)(count - since->count) * 1e9 / (double)(now_ns - since->ns));
}

static void rate_point_transfer(struct rate_point *point, struct state *state, const char *name)
{
	state_enter(state, name);
	state_u64(state, "ns", &point->ns);
	state_u64(state, "count", &point->count);
	state_leave(state);
}

void rate_transfer(struct rate *rate, struct state *state, const char *name)
{
	state_enter(state, name);
	rate_point_transfer(&rate->previous, state, "previous");
	rate_point_transfer(&rate->current, state, "current");
	state_u64(state, "changed_ns", &rate->changed_ns);
	state_leave(state);
}
