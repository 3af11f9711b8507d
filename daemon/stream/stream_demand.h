/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the clients of a stream want its source to run, by `hold`, `on-demand` and `linger`.
 *
 *   OFF ─ stream_demand_begin() ─▶ WAITING ─ enough clients are there ─▶ MET
 *                                     ▲                                   │
 *                                     └─ on-demand: none for `linger` ────┘
 *
 * Clients that join are counted after a moment, so that one that only tests the port is gone by then. A half-closed
 * one counts only when it is known to be alive (client_proof_ns()). In MET each one counts as long as its connection:
 * the source may be silent, and nothing proves that such a client is alive.
 */
#ifndef DMACAST_STREAM_DEMAND_H
#define DMACAST_STREAM_DEMAND_H

#include "lib/settings.h"
#include "stream/section.h"

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;

struct stream_demand_callbacks {
	/* Enough clients are there: start the source. */
	void (*met)(void *argument);
	/* The last client has left: stop the source. Called from the event loop. */
	void (*over)(void *argument);
};

enum demand_state { DEMAND_OFF, DEMAND_WAITING, DEMAND_MET };

struct stream_demand {
	const struct stream_settings *settings;
	const struct section_list *sections;
	const struct stream_demand_callbacks *callbacks;
	void *argument; /* of the callbacks */
	enum demand_state state;
	uint64_t active;      /* clients that get blocks */
	uint64_t deserted_ns; /* monotonic time since which there is none */
	struct event timer;   /* WAITING: count the clients; MET: `linger` is over */
	bool settling;	      /* WAITING: the timer waits for clients that have just joined */
};

/**
 * stream_demand_init() - start in OFF.
 * @settings, @sections, @callbacks: must outlive @demand
 */
void stream_demand_init(struct stream_demand *demand, struct event_base *base,
			const struct stream_settings *settings, const struct section_list *sections,
			const struct stream_demand_callbacks *callbacks, void *argument);

/** stream_demand_begin() - the source can run: call met() as soon as clients want it, now or later. */
void stream_demand_begin(struct stream_demand *demand);

/** stream_demand_end() - return to OFF. */
void stream_demand_end(struct stream_demand *demand);

/**
 * stream_demand_resume() - continue after a handover, in the loop's next iterations. Calls nothing back. `deserted_ns`
 * must be as it was.
 * @state: as it was
 * @active: clients that get blocks
 */
void stream_demand_resume(struct stream_demand *demand, enum demand_state state, uint64_t active);

/** stream_demand_adapt() - apply changed settings; may call met(). */
void stream_demand_adapt(struct stream_demand *demand);

/** stream_demand_join() - count a client that gets blocks from now on. */
void stream_demand_join(struct stream_demand *demand);

/** stream_demand_leave() - count a client that gets no blocks any more. Calls nothing back. */
void stream_demand_leave(struct stream_demand *demand);

#endif
