// SPDX-License-Identifier: BSD-2-Clause
#include "lib/timer_state.h"

#include "lib/clock.h"
#include "lib/state.h"

#include <event2/event.h>

/* Return the monotonic time when @timer is due; 0: it is not pending. libevent has it in terms of the time of day. */
static uint64_t timer_due_ns(const struct event *timer)
{
	struct timeval due, now, left = { 0 };

	if (!event_pending(timer, EV_TIMEOUT, &due))
		return 0;
	/* Within a callback both have the same difference to the monotonic clock. */
	event_base_gettimeofday_cached(event_get_base(timer), &now);
	if (evutil_timercmp(&due, &now, >))
		evutil_timersub(&due, &now, &left);
	return clock_monotonic_ns() + clock_timeval_us(&left) * NS_PER_US;
}

void timer_transfer(struct event *timer, struct state *state, const char *name)
{
	uint64_t due_ns = state_is_saving(state) ? timer_due_ns(timer) : 0;
	uint64_t now_ns = clock_monotonic_ns();
	struct timeval delay;

	state_u64(state, name, &due_ns);
	if (state_is_saving(state) || state_failed(state) || !due_ns)
		return;
	delay = clock_timeval(due_ns > now_ns ? (due_ns - now_ns) / 1000 : 0);
	if (event_add(timer, &delay))
		state_fail(state, "%s: no memory for a timer", name);
}
