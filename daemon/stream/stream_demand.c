// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_demand.h"

#include "lib/clock.h"

#include <assert.h>
#include <event2/event.h>

/* Time from a client that joins until the clients are counted, in microseconds. */
#define SETTLE_US 200000

/* Bounds of the time until they are counted again, in microseconds. */
#define MIN_RECOUNT_US SETTLE_US
#define MAX_RECOUNT_US 1000000

/* Without memory for the timer its time is over at once. */
static void demand_set_timer(struct stream_demand *demand, uint64_t delay_us)
{
	const struct timeval delay = clock_timeval(delay_us);

	if (evtimer_add(&demand->timer, &delay))
		event_active(&demand->timer, EV_TIMEOUT, 0);
}

/* Return the number of clients that the source waits for. */
static uint64_t demand_needed(const struct stream_settings *settings)
{
	return settings->on_demand && !settings->hold ? 1 : settings->hold;
}

/* ---- WAITING ---- */

/* Return what stream_crowd_alive() does, for all sections. */
static uint64_t demand_alive(const struct stream_demand *demand, uint64_t *next_proof_ns)
{
	const struct section *section;
	uint64_t alive = 0, proof_ns;

	*next_proof_ns = 0;
	TAILQ_FOREACH (section, demand->sections, entry) {
		alive += stream_crowd_alive(&section->crowd, &proof_ns);
		if (proof_ns && (!*next_proof_ns || proof_ns < *next_proof_ns))
			*next_proof_ns = proof_ns;
	}
	return alive;
}

static void demand_watch_linger(struct stream_demand *demand);

static void demand_set_met(struct stream_demand *demand)
{
	evtimer_del(&demand->timer);
	demand->settling = false;
	demand->state = DEMAND_MET;
	demand->callbacks->met(demand->argument);
	demand_watch_linger(demand);
}

/*
 * Count again when one more client is known to be alive, but not for each of thousands; and earlier, because history
 * or a preamble, which is sent while the source does not run, may prove it.
 */
static void demand_count_again(struct stream_demand *demand, uint64_t proof_ns)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t delay_us = proof_ns > now_ns ? (proof_ns - now_ns) / 1000 + 1 : 0;

	if (delay_us < MIN_RECOUNT_US)
		delay_us = MIN_RECOUNT_US;
	if (delay_us > MAX_RECOUNT_US)
		delay_us = MAX_RECOUNT_US;
	demand_set_timer(demand, delay_us);
}

/* Count the clients that are known to be alive, and again if others may be. */
static void demand_count(struct stream_demand *demand)
{
	uint64_t needed = demand_needed(demand->settings), next_proof_ns;

	if (demand->active < needed)
		return;
	if (demand_alive(demand, &next_proof_ns) >= needed)
		demand_set_met(demand);
	else if (next_proof_ns)
		demand_count_again(demand, next_proof_ns);
}

static void demand_settle(struct stream_demand *demand)
{
	uint64_t needed = demand_needed(demand->settings);

	if (!needed) {
		demand_set_met(demand);
	} else if (demand->active >= needed && !demand->settling) {
		demand->settling = true;
		demand_set_timer(demand, SETTLE_US);
	}
}

/* ---- MET ---- */

static void demand_watch_linger(struct stream_demand *demand)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t end_ns = demand->deserted_ns + demand->settings->linger * 1000;

	if (demand->settings->on_demand && !demand->active)
		demand_set_timer(demand, end_ns > now_ns ? (end_ns - now_ns) / 1000 + 1 : 0);
	else
		evtimer_del(&demand->timer);
}

static void demand_end_linger(struct stream_demand *demand)
{
	if (demand->active || !demand->settings->on_demand)
		return;
	demand->state = DEMAND_WAITING;
	demand->callbacks->over(demand->argument);
}

/* ---- all states ---- */

static void demand_due(evutil_socket_t fd, short what, void *argument)
{
	struct stream_demand *demand = argument;

	(void)fd;
	(void)what;
	demand->settling = false;
	if (demand->state == DEMAND_WAITING)
		demand_count(demand);
	else if (demand->state == DEMAND_MET)
		demand_end_linger(demand);
}

void stream_demand_init(struct stream_demand *demand, struct event_base *base,
			const struct stream_settings *settings, const struct section_list *sections,
			const struct stream_demand_callbacks *callbacks, void *argument)
{
	*demand = (struct stream_demand){
		.settings = settings,
		.sections = sections,
		.callbacks = callbacks,
		.argument = argument,
		.deserted_ns = clock_monotonic_ns(),
	};
	evtimer_assign(&demand->timer, base, demand_due, demand);
}

void stream_demand_begin(struct stream_demand *demand)
{
	if (demand->state != DEMAND_OFF)
		return;
	demand->state = DEMAND_WAITING;
	demand_settle(demand);
}

void stream_demand_end(struct stream_demand *demand)
{
	evtimer_del(&demand->timer);
	demand->settling = false;
	demand->state = DEMAND_OFF;
}

void stream_demand_adapt(struct stream_demand *demand)
{
	if (demand->state == DEMAND_WAITING)
		demand_settle(demand);
	else if (demand->state == DEMAND_MET)
		demand_watch_linger(demand);
}

void stream_demand_join(struct stream_demand *demand)
{
	demand->active++;
	stream_demand_adapt(demand);
}

void stream_demand_leave(struct stream_demand *demand)
{
	assert(demand->active);
	if (--demand->active)
		return;
	demand->deserted_ns = clock_monotonic_ns();
	if (demand->state == DEMAND_MET)
		demand_watch_linger(demand);
}

void stream_demand_resume(struct stream_demand *demand, enum demand_state state, uint64_t active)
{
	demand->state = state;
	demand->active = active;
	if (state == DEMAND_MET)
		demand_watch_linger(demand);
	else if (state == DEMAND_WAITING)
		/* Count them after a moment: those that had been waited for may have settled already. */
		demand_set_timer(demand, SETTLE_US);
}
