// SPDX-License-Identifier: BSD-2-Clause
/* When clients want the source of a stream: hold, on-demand and linger. The clients have no connection. */
#include "stream/stream_demand.h"

#include "lib/clock.h"
#include "stream/client.h"

#include "runloop.h"
#include "tap.h"

#include <err.h>
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS 4
#define LINGER_US 300000
/* Long enough for each time that is waited for here, and for a machine that is busy. */
#define PATIENCE_MS 20000

/* A half-closed client is known to be alive after this time without an answer; see client.c. */
#define PROOF_NS (66 * 1000000000ULL)

static struct {
	struct event_base *base;
	struct stream_settings settings;
	struct section_list sections;
	struct section section;
	struct client client[CLIENTS];
	struct stream_demand demand;
	unsigned int met, over;
} demand_world;

static void demand_test_met(void *argument)
{
	(void)argument;
	demand_world.met++;
}

static void demand_test_over(void *argument)
{
	(void)argument;
	demand_world.over++;
}

static void demand_test_begin(uint64_t hold, bool on_demand, uint64_t linger)
{
	static const struct stream_demand_callbacks callbacks = {
		.met = demand_test_met,
		.over = demand_test_over,
	};

	memset(&demand_world, 0, sizeof(demand_world));
	demand_world.settings.hold = hold;
	demand_world.settings.on_demand = on_demand;
	demand_world.settings.linger = linger;
	TAILQ_INIT(&demand_world.sections);
	TAILQ_INIT(&demand_world.section.crowd.clients);
	TAILQ_INSERT_TAIL(&demand_world.sections, &demand_world.section, entry);
	demand_world.base = event_base_new();
	if (!demand_world.base)
		errx(1, "no event base");
	stream_demand_init(&demand_world.demand, demand_world.base, &demand_world.settings,
			   &demand_world.sections, &callbacks, NULL);
	stream_demand_begin(&demand_world.demand);
}

static void demand_test_end(void)
{
	stream_demand_end(&demand_world.demand);
	event_base_free(demand_world.base);
}

static void demand_test_join(unsigned int number)
{
	struct client *client = &demand_world.client[number];

	*client = (struct client){ .state = CLIENT_STREAMING, .zerocopy.fd = -1 };
	TAILQ_INSERT_TAIL(&demand_world.section.crowd.clients, client, entry);
	stream_demand_join(&demand_world.demand);
}

/* It gets no blocks any more; whether its sends are complete does not matter. */
static void demand_test_leave(unsigned int number)
{
	demand_world.client[number].state = CLIENT_RESETTING;
	stream_demand_leave(&demand_world.demand);
}

/* The peer shut down its sending side, or closed, @ago_ns before. */
static void demand_test_half_close(unsigned int number, uint64_t ago_ns)
{
	demand_world.client[number].input_ended = true;
	demand_world.client[number].input_end_ns = clock_monotonic_ns() - ago_ns;
}

static void demand_test_run_ms(unsigned int ms)
{
	runloop_ms(demand_world.base, ms);
}

static void demand_test_run_until(const unsigned int *count, unsigned int least)
{
	for (int ms = 0; ms < PATIENCE_MS && *count < least; ms += 5)
		demand_test_run_ms(5);
	check(*count == least, "%u calls, expected %u", *count, least);
}

/* Nothing happens, for longer than all times that could be over. */
static void demand_test_stays(unsigned int met, unsigned int over)
{
	demand_test_run_ms(2 * LINGER_US / 1000);
	check(demand_world.met == met && demand_world.over == over, "%u starts, %u stops",
	      demand_world.met, demand_world.over);
}

static void test_without_conditions(void)
{
	demand_test_begin(0, false, LINGER_US);
	check(demand_world.met == 1, "%u starts", demand_world.met);
	demand_test_join(0);
	demand_test_leave(0);
	demand_test_stays(1, 0);
	demand_test_end();
	point("without hold and on-demand: at once, and for ever");
}

static void test_hold(void)
{
	demand_test_begin(2, false, LINGER_US);
	demand_test_join(0);
	demand_test_stays(0, 0);
	demand_test_join(1);
	check(!demand_world.met, "at once");
	demand_test_leave(1);
	demand_test_stays(0, 0);
	demand_test_join(2);
	demand_test_run_until(&demand_world.met, 1);
	demand_test_leave(0);
	demand_test_leave(2);
	demand_test_stays(1, 0);
	demand_test_end();
	point("hold: only clients that are still there a moment later count");

	demand_test_begin(2, false, LINGER_US);
	demand_test_join(0);
	demand_test_half_close(0, 0);
	demand_test_join(1);
	demand_test_stays(0, 0);
	demand_test_join(2);
	demand_test_run_until(&demand_world.met, 1);
	demand_test_end();
	point("hold: one that may have closed does not");

	demand_test_begin(2, false, LINGER_US);
	demand_test_join(0);
	demand_test_join(1);
	demand_test_half_close(1, PROOF_NS - 500 * 1000000ULL);
	demand_test_run_ms(250);
	check(!demand_world.met ||
		      clock_monotonic_ns() - demand_world.client[1].input_end_ns >= PROOF_NS,
	      "before that is known");
	demand_test_run_until(&demand_world.met, 1);
	demand_test_end();
	point("hold: until it is known to be alive, without another event");

	demand_test_begin(0, true, LINGER_US);
	demand_test_join(0);
	demand_test_half_close(0, 0);
	demand_test_stays(0, 0);
	/* No socket: nothing is unacknowledged. */
	demand_world.client[0].stats.sent_bytes = 1;
	demand_test_run_until(&demand_world.met, 1);
	demand_test_end();
	point("on-demand: or until it has acknowledged history or a preamble");
}

static void test_on_demand(void)
{
	uint64_t left_ns;

	demand_test_begin(0, true, LINGER_US);
	demand_test_stays(0, 0);
	for (unsigned int run = 1; run <= 3; run++) {
		demand_test_join(0);
		demand_test_join(1);
		demand_test_run_until(&demand_world.met, run);
		demand_test_leave(0);
		demand_test_stays(run, run - 1);
		left_ns = clock_monotonic_ns();
		demand_test_leave(1);
		demand_test_run_until(&demand_world.over, run);
		/* A timer counts from the begin of a turn of the loop. */
		check(clock_monotonic_ns() - left_ns >= LINGER_US * 1000 / 2, "too early");
		demand_test_stays(run, run);
		TAILQ_INIT(&demand_world.section.crowd.clients);
	}
	demand_test_end();
	point("on-demand: from the first client until linger after the last one, again and again");

	demand_test_begin(2, true, 0);
	demand_test_join(0);
	demand_test_stays(0, 0);
	demand_test_join(1);
	demand_test_run_until(&demand_world.met, 1);
	demand_test_leave(0);
	demand_test_stays(1, 0);
	demand_test_leave(1);
	check(!demand_world.over, "stopped within a callback of a client");
	demand_test_run_until(&demand_world.over, 1);
	demand_test_join(2);
	demand_test_stays(1, 1);
	demand_test_join(3);
	demand_test_run_until(&demand_world.met, 2);
	demand_test_end();
	point("on-demand with hold, without linger");

	demand_test_begin(0, true, LINGER_US);
	demand_test_join(0);
	demand_test_run_until(&demand_world.met, 1);
	demand_test_leave(0);
	demand_test_join(1);
	demand_test_stays(1, 0);
	demand_test_half_close(1, 0);
	demand_test_stays(1, 0);
	demand_test_end();
	point("on-demand: a client during linger keeps the source, also a half-closed one");
}

static void test_dead_peers(void)
{
	demand_test_begin(0, true, LINGER_US);
	demand_test_join(0);
	demand_test_half_close(0, 0);
	demand_test_stays(0, 0);
	demand_test_leave(0);
	demand_test_join(1);
	demand_test_leave(1);
	demand_test_stays(0, 0);
	demand_test_end();
	point("on-demand: peers that may have closed do not start the source");
}

static void test_reload(void)
{
	demand_test_begin(3, true, LINGER_US);
	demand_test_join(0);
	demand_test_stays(0, 0);
	demand_world.settings.hold = 1;
	stream_demand_adapt(&demand_world.demand);
	demand_test_run_until(&demand_world.met, 1);
	demand_world.settings.on_demand = false;
	stream_demand_adapt(&demand_world.demand);
	demand_test_leave(0);
	demand_test_stays(1, 0);
	demand_world.settings.on_demand = true;
	stream_demand_adapt(&demand_world.demand);
	demand_test_run_until(&demand_world.over, 1);
	demand_world.settings.on_demand = false;
	demand_world.settings.hold = 0;
	stream_demand_adapt(&demand_world.demand);
	check(demand_world.met == 2, "%u starts", demand_world.met);
	demand_world.settings.on_demand = true;
	demand_world.settings.linger = 3600 * 1000000ULL;
	stream_demand_adapt(&demand_world.demand);
	demand_test_stays(2, 1);
	demand_world.settings.linger = 1;
	stream_demand_adapt(&demand_world.demand);
	demand_test_run_until(&demand_world.over, 2);
	demand_test_end();
	point("a reload changes hold, on-demand and linger at once");

	demand_test_begin(0, true, LINGER_US);
	demand_test_join(0);
	demand_test_run_until(&demand_world.met, 1);
	stream_demand_end(&demand_world.demand);
	demand_test_leave(0);
	demand_test_join(1);
	stream_demand_adapt(&demand_world.demand);
	demand_test_stays(1, 0);
	check(demand_world.demand.active == 1, "%u clients",
	      (unsigned int)demand_world.demand.active);
	demand_test_end();
	point("after the end nothing is called");
}

int main(void)
{
	test_without_conditions();
	test_hold();
	test_on_demand();
	test_dead_peers();
	test_reload();
	return tap_end();
}
