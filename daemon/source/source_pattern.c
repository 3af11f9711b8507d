// SPDX-License-Identifier: BSD-2-Clause
/*
 * The pattern source: checkable data (pattern.h) at a chosen rate. It is paced by the clock, from
 * the moment it started or last found a free block again: it does not make up for what it could not
 * make while the ring was full or paused, or while this process did not run. Its offsets go on after a pause.
 */
#include "source/source_type.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/pattern.h"
#include "lib/state.h"
#include "lib/units.h"
#include "source/filler.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>

#define MIN_TICK_US 1000
#define MAX_TICK_US 20000

#define US_PER_S UINT64_C(1000000)

struct pattern_source {
	struct source source;
	struct filler *filler;
	uint64_t rate; /* bytes a second, or UNITS_RATE_MAX */
	enum pattern_form form;
	size_t least;	      /* smallest number of bytes made at once */
	size_t credit;	      /* bytes left of the budget */
	uint64_t offset;      /* of the next byte in the stream */
	uint64_t most_behind; /* bytes made up for at most: the ring cannot take a larger burst */
	uint64_t paced_from_ns;
	uint64_t made_since; /* bytes since paced_from_ns */
	struct timeval tick;
	struct event timer;
	char text[UNITS_TEXT + sizeof("pattern ")];
};

static void pattern_restart_pace(struct pattern_source *pattern)
{
	pattern->paced_from_ns = clock_monotonic_ns();
	pattern->made_since = 0;
}

/* Exact, and without an overflow on the way: a 32-bit machine has no wider type. */
static uint64_t pattern_bytes_in(uint64_t ns, uint64_t rate)
{
	uint64_t part_ns = ns % NS_PER_S;

	return ns / NS_PER_S * rate + part_ns * (rate / NS_PER_S) +
	       part_ns * (rate % NS_PER_S) / NS_PER_S;
}

static uint64_t pattern_bytes_due(struct pattern_source *pattern)
{
	uint64_t elapsed_ns, due;

	if (pattern->rate == UNITS_RATE_MAX)
		return UINT64_MAX;
	elapsed_ns = clock_monotonic_ns() - pattern->paced_from_ns;
	due = pattern_bytes_in(elapsed_ns, pattern->rate) - pattern->made_since;
	if (due > pattern->most_behind) {
		/* Account for the rest as if it had been made. */
		pattern->made_since += due - pattern->most_behind;
		due = pattern->most_behind;
	}
	return due & ~(uint64_t)(PATTERN_WORD - 1);
}

/* Make whole blocks one by one, so that none waits for another: they show how long they took. */
static struct timeval pattern_until_next(const struct pattern_source *pattern, uint64_t due)
{
	if (pattern->form == PATTERN_OFFSETS)
		return pattern->tick;
	return clock_timeval((pattern->least - due) * US_PER_S / pattern->rate + 1);
}

/* A block that is larger than the budget takes several calls: on average a call keeps to the budget. */
static void pattern_make(struct pattern_source *pattern)
{
	size_t budget = filler_budget(pattern->filler);
	struct timeval delay = { 0 };
	uint64_t due;

	if (!budget) {
		event_add(&pattern->timer, &delay);
		return;
	}
	due = pattern_bytes_due(pattern);
	if (pattern->credit > pattern->least)
		pattern->credit = pattern->least;
	pattern->credit += budget;
	while (due >= pattern->least && pattern->credit >= pattern->least) {
		size_t space;
		unsigned char *p = filler_space(pattern->filler, &space);

		if (!p) {
			source_set_state(&pattern->source, SOURCE_RUNNING, true);
			filler_ready(pattern->filler);
			return; /* pattern_resume() follows */
		}
		if (space > due)
			space = due;
		if (space > pattern->credit)
			space = pattern->credit;
		pattern_fill_block(pattern->form, p, space, pattern->offset,
				   filler_place(pattern->filler));
		filler_commit(pattern->filler, space);
		source_note_bytes(&pattern->source);
		pattern->offset += space;
		pattern->made_since += space;
		due -= space;
		pattern->credit -= space;
	}
	filler_ready(pattern->filler);
	if (due < pattern->least) {
		/* The next block waits for the clock only, not for the budget, too. */
		pattern->credit = pattern->least;
		delay = pattern_until_next(pattern, due);
	}
	event_add(&pattern->timer, &delay);
}

static void pattern_timer_expired(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	pattern_make(argument);
}

static void pattern_resume(void *argument)
{
	struct pattern_source *pattern = argument;

	source_set_state(&pattern->source, SOURCE_RUNNING, false);
	pattern_restart_pace(pattern);
	pattern_make(pattern);
}

static void pattern_start(struct source *source)
{
	filler_start(((struct pattern_source *)source)->filler);
	pattern_resume(source);
}

static void pattern_pause(struct source *source)
{
	struct pattern_source *pattern = (struct pattern_source *)source;

	event_del(&pattern->timer);
	source_set_state(source, SOURCE_WAITING, false);
	pattern->offset -= filler_pause(pattern->filler);
}

static void pattern_stop(struct source *source)
{
	struct pattern_source *pattern = (struct pattern_source *)source;

	event_del(&pattern->timer);
	source_set_state(source, SOURCE_ENDED, false);
	filler_stop(pattern->filler);
}

static void pattern_adapt(struct source *source)
{
	filler_adapt(((struct pattern_source *)source)->filler);
}

static void pattern_close(struct source *source)
{
	struct pattern_source *pattern = (struct pattern_source *)source;

	event_del(&pattern->timer);
	filler_destroy(pattern->filler);
	free(pattern);
}

static void pattern_transfer(struct pattern_source *pattern, struct state *state)
{
	state_size(state, "credit", &pattern->credit);
	state_u64(state, "offset", &pattern->offset);
	state_u64(state, "paced_from_ns", &pattern->paced_from_ns);
	state_u64(state, "made_since", &pattern->made_since);
	filler_transfer(pattern->filler, state);
	if (pattern->paced_from_ns > clock_monotonic_ns())
		state_fail(state, "paced_from_ns: is in the future");
}

static void pattern_save(struct source *source, struct state *state)
{
	pattern_transfer((struct pattern_source *)source, state);
}

static const struct source_type pattern_type = {
	.start = pattern_start,
	.pause = pattern_pause,
	.stop = pattern_stop,
	.adapt = pattern_adapt,
	.save = pattern_save,
	.close = pattern_close,
};

struct source *source_pattern_open(struct event_base *base, const struct stream_settings *settings,
				   struct ring *ring, const struct source_callbacks *callbacks,
				   void *argument)
{
	struct pattern_source *pattern = calloc(1, sizeof(*pattern));
	char rate[UNITS_TEXT];
	uint64_t tick_us;

	if (pattern)
		pattern->filler = filler_create(base, settings, ring, callbacks, argument,
						pattern_resume, pattern);
	if (!pattern || !pattern->filler) {
		log_error("stream %s: no memory for the pattern source", settings->name);
		free(pattern);
		return NULL;
	}
	source_init(&pattern->source, &pattern_type, pattern->text, callbacks, argument);
	snprintf(pattern->text, sizeof(pattern->text), "pattern %s",
		 units_format_rate(settings->pattern, rate));
	pattern->rate = settings->pattern;
	pattern->form = (enum pattern_form)settings->pattern_form;
	/* Forms with a head need whole blocks. */
	pattern->least = pattern->form == PATTERN_OFFSETS ? PATTERN_WORD
							  : filler_block_bytes(pattern->filler);
	pattern->most_behind = settings->ring_size / 2;
	tick_us = (uint64_t)ring_block_size(ring) * 1000000U / pattern->rate;
	if (tick_us < MIN_TICK_US)
		tick_us = MIN_TICK_US;
	if (tick_us > MAX_TICK_US)
		tick_us = MAX_TICK_US;
	pattern->tick.tv_usec = (suseconds_t)tick_us;
	evtimer_assign(&pattern->timer, base, pattern_timer_expired, pattern);
	return &pattern->source;
}

struct source *source_pattern_restore(struct event_base *base,
				      const struct stream_settings *settings, struct ring *ring,
				      const struct source_callbacks *callbacks, void *argument,
				      struct state *state)
{
	struct source *source = source_pattern_open(base, settings, ring, callbacks, argument);
	struct pattern_source *pattern = (struct pattern_source *)source;
	const struct timeval at_once = { 0 };

	if (!source)
		return NULL;
	source_transfer(source, state);
	pattern_transfer(pattern, state);
	/* Held up, it goes on when a block is free. */
	if (!state_failed(state) && source->state == SOURCE_RUNNING && !source->held_up &&
	    event_add(&pattern->timer, &at_once))
		state_fail(state, "no memory for a timer");
	return source;
}
