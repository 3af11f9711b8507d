// SPDX-License-Identifier: BSD-2-Clause
#include "stream/streams.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/priority.h"
#include "lib/state.h"
#include "lib/timer_state.h"
#include "ring/ring.h"
#include "stream/stream_watch.h"

#include <assert.h>
#include <bsd/sys/queue.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Upper bound for the timers of one stream that can be pending, without those of its clients. */
#define MAX_STREAM_TIMERS 10

/*
 * A stream from stream_open() to its end. Generations of one name follow each other, each with its own
 * settings.
 *
 *   PREPARED ─ streams_begin() ─▶ CURRENT ─ streams_retire(), device lost ─▶ FORMER
 *
 * A stream that ends by itself stays CURRENT until it is closed. Then stream_names.c remembers its
 * settings, so that a reload does not start it again.
 */
enum generation_state { GENERATION_PREPARED, GENERATION_CURRENT, GENERATION_FORMER };

struct generation {
	TAILQ_ENTRY(generation) entry;
	struct streams *streams;
	struct name_totals *totals;
	struct stream *stream;
	enum generation_state state;
	struct event drain_timer; /* resets the remaining clients of a stream that was stopped */
};

TAILQ_HEAD(generation_list, generation);

struct streams {
	struct event_base *base;
	const struct streams_callbacks *callbacks;
	void *argument; /* of the callbacks */
	struct stream_callbacks stream_callbacks;
	struct stream_watch watch;
	struct stream_names names;
	struct generation_list generations; /* FORMER ones at the end */
	bool running;			    /* streams_start() was called */
	struct event *sweep;		    /* closes streams that have ended */
};

static void generation_remove(struct generation *generation)
{
	event_del(&generation->drain_timer);
	name_totals_release(generation->totals);
	TAILQ_REMOVE(&generation->streams->generations, generation, entry);
	free(generation);
}

/* ---- ending ---- */

/* Return true if a stream of the daemon has this device open. */
static bool streams_hold_device(const struct streams *streams, const char *device)
{
	const struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry) {
		const struct stream_settings *settings = stream_settings(generation->stream);

		if (stream_has_ring(generation->stream) && settings->device &&
		    !strcmp(settings->device, device))
			return true;
	}
	return false;
}

/* Return true if a former generation still runs its command, which may run once at a time only. */
static bool streams_must_wait(const struct streams *streams, const struct stream *stream)
{
	const struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry) {
		if (generation->state == GENERATION_FORMER &&
		    stream_is_same(generation->stream, stream) &&
		    stream_has_command(generation->stream))
			return true;
	}
	return false;
}

static void streams_start_waiting(struct streams *streams)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry) {
		if (generation->state == GENERATION_CURRENT &&
		    !streams_must_wait(streams, generation->stream))
			stream_start(generation->stream);
	}
}

/* The device was closed: open it for the stream that waits for it. */
static void streams_retry_device(struct streams *streams, const char *device)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry) {
		const struct stream_settings *settings = stream_settings(generation->stream);

		if (generation->state == GENERATION_CURRENT && settings->device &&
		    !strcmp(settings->device, device) && !streams_hold_device(streams, device))
			stream_retry_device(generation->stream);
	}
}

static void generation_close_ended(struct generation *generation)
{
	struct streams *streams = generation->streams;
	struct stream *stream = generation->stream;
	const struct stream_settings *settings = stream_settings(stream);
	char *device = settings->device ? strdup(settings->device) : NULL;

	if (generation->state == GENERATION_CURRENT)
		stream_names_finished(&streams->names, settings);
	generation_remove(generation);
	stream_close(stream);
	if (device)
		streams_retry_device(streams, device);
	free(device);
	streams_start_waiting(streams);
}

/* Close streams that have ended. Not to be called from within a callback of a stream. */
static void streams_sweep(evutil_socket_t fd, short what, void *argument)
{
	struct streams *streams = argument;
	struct generation *generation, *next;

	(void)fd;
	(void)what;
	TAILQ_FOREACH_SAFE (generation, &streams->generations, entry, next) {
		if (stream_has_ended(generation->stream))
			generation_close_ended(generation);
	}
	if (TAILQ_EMPTY(&streams->generations))
		streams->callbacks->all_ended(streams->argument);
}

static void generation_stream_ended(void *argument, struct stream *stream)
{
	struct generation *generation = argument;
	struct streams *streams = generation->streams;

	stream_watch_report(&streams->watch,
			    (struct stream_event){
				    .type = EVENT_STREAM_ENDED,
				    .stream = stream_name(stream),
				    .bytes = stream_bytes(stream),
				    .former = generation->state == GENERATION_FORMER,
			    });
	event_active(streams->sweep, EV_TIMEOUT, 0);
}

static void generation_drain_expired(evutil_socket_t fd, short what, void *argument)
{
	struct generation *generation = argument;

	(void)fd;
	(void)what;
	if (!stream_clients(generation->stream))
		return; /* its command ends */
	log_notice("stream %s: drain-timeout is over; resetting its remaining clients",
		   stream_settings(generation->stream)->name);
	stream_kick_all(generation->stream, LEAVE_STOPPING, "drain-timeout is over");
}

/* Stop the stream, and reset its remaining clients after @drain_us; at once without memory. */
static void generation_drain(struct generation *generation, uint64_t drain_us)
{
	const struct timeval patience = clock_timeval(drain_us);

	stream_stop(generation->stream);
	if (!event_add(&generation->drain_timer, &patience))
		return;
	log_error("stream %s: no memory for a timer; resetting its clients",
		  stream_name(generation->stream));
	stream_kick_all(generation->stream, LEAVE_STOPPING, "stopping");
}

/* ---- generations ---- */

/* Add a generation without a stream. Return: NULL without memory, which was logged. */
static struct generation *generation_add(struct streams *streams, const char *name)
{
	struct name_totals *totals = stream_names_use(&streams->names, name);
	struct generation *generation;

	if (!totals)
		return NULL;
	generation = calloc(1, sizeof(*generation));
	if (!generation) {
		log_error("no memory for a stream");
		name_totals_release(totals);
		return NULL;
	}
	generation->streams = streams;
	evtimer_assign(&generation->drain_timer, streams->base, generation_drain_expired,
		       generation);
	event_priority_set(&generation->drain_timer, PRIORITY_OPERATOR);
	generation->totals = totals;
	TAILQ_INSERT_HEAD(&streams->generations, generation, entry);
	return generation;
}

static struct generation *generation_find(const struct streams *streams,
					  const struct stream *stream)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry) {
		if (generation->stream == stream)
			break;
	}
	return generation;
}

/* Only one former generation may drain: reset the remaining clients of older ones. */
static void generation_make_former(struct generation *generation, enum leave_reason reason,
				   const char *text)
{
	struct streams *streams = generation->streams;
	struct generation *other;

	TAILQ_FOREACH (other, &streams->generations, entry) {
		if (other->state == GENERATION_FORMER &&
		    stream_is_same(other->stream, generation->stream))
			stream_kick_all(other->stream, reason, text);
	}
	generation->state = GENERATION_FORMER;
	TAILQ_REMOVE(&streams->generations, generation, entry);
	TAILQ_INSERT_TAIL(&streams->generations, generation, entry);
}

/* The device is gone: open a successor. At most one other former generation remains. */
static void generation_device_lost(void *argument, struct stream *lost)
{
	struct generation *generation = argument, *successor;
	struct streams *streams = generation->streams;

	generation_make_former(generation, LEAVE_DEVICE_GONE, NULL);
	successor = generation_add(streams, stream_name(lost));
	if (!successor)
		return;
	successor->state = GENERATION_CURRENT;
	successor->stream = stream_open_successor(lost, &streams->stream_callbacks, successor);
	if (!successor->stream)
		generation_remove(successor);
}

/* Return true if the current stream of this name waits for the same device. */
static bool streams_wait_for_device(const struct streams *streams,
				    const struct stream_settings *settings)
{
	const struct stream *current = streams_find(streams, settings->name);
	const char *device = current ? stream_settings(current)->device : NULL;

	return device && !stream_has_ring(current) && !strcmp(device, settings->device);
}

static enum stream_device streams_device_open_mode(const struct streams *streams,
						   const struct stream_settings *settings)
{
	if (!settings->device)
		return STREAM_DEVICE_NOW;
	if (streams_hold_device(streams, settings->device))
		return STREAM_DEVICE_HELD;
	return streams_wait_for_device(streams, settings) ? STREAM_DEVICE_WAITED_FOR
							  : STREAM_DEVICE_NOW;
}

bool streams_reserve_timers(struct streams *streams, size_t more)
{
	static const struct timeval far_off = { .tv_sec = 3600 };
	const struct generation *generation;
	size_t count = more * MAX_STREAM_TIMERS, added = 0;
	struct event *timers;

	TAILQ_FOREACH (generation, &streams->generations, entry)
		count += MAX_STREAM_TIMERS;
	/* libevent's heap of timers grows when they are added, and never shrinks. */
	timers = calloc(count, sizeof(*timers));
	for (; timers && added < count; added++) {
		evtimer_assign(&timers[added], streams->base, NULL, NULL);
		if (evtimer_add(&timers[added], &far_off))
			break;
	}
	for (size_t i = 0; i < added; i++)
		evtimer_del(&timers[i]);
	free(timers);
	if (added == count)
		return true;
	log_error("no memory for the timers of the streams");
	return false;
}

struct stream *streams_prepare(struct streams *streams, const struct stream_settings *settings,
			       struct ring *ring, const struct names *names)
{
	enum stream_device device = streams_device_open_mode(streams, settings);
	struct generation *generation;
	struct stream *stream;

	generation = generation_add(streams, settings->name);
	if (!generation) {
		if (ring)
			ring_destroy(ring);
		return NULL;
	}
	stream = stream_open(streams->base, settings, &generation->totals->stats,
			     &streams->stream_callbacks, generation, device, ring, names);
	if (!stream) {
		generation_remove(generation);
		return NULL;
	}
	generation->stream = stream;
	if (device == STREAM_DEVICE_HELD)
		log_notice("stream %s: waiting for device %s until its former stream has ended",
			   settings->name, settings->device);
	return stream;
}

void streams_discard(struct streams *streams, struct stream *stream)
{
	generation_remove(generation_find(streams, stream));
	stream_close(stream);
}

void streams_begin(struct streams *streams, struct stream *stream)
{
	struct generation *begun = generation_find(streams, stream), *generation, *next;

	/* A stream that is ending by itself may still be current. */
	TAILQ_FOREACH_SAFE (generation, &streams->generations, entry, next) {
		if (generation->state == GENERATION_CURRENT &&
		    stream_is_same(generation->stream, stream))
			generation_make_former(generation, LEAVE_STOPPING, "stream restarted");
	}
	stream_names_started(&streams->names, stream_name(stream));
	begun->state = GENERATION_CURRENT;
	if (streams->running && !streams_must_wait(streams, stream))
		stream_start(stream);
}

void streams_retire(struct streams *streams, struct stream *stream, uint64_t drain_us)
{
	struct generation *generation = generation_find(streams, stream);

	generation_make_former(generation, LEAVE_STOPPING, "stream restarted again");
	generation_drain(generation, drain_us);
}

void streams_drain(struct streams *streams, struct stream *stream, uint64_t drain_us, bool replace)
{
	struct generation *generation = generation_find(streams, stream);

	if (event_pending(&generation->drain_timer, EV_TIMEOUT, NULL) && !replace)
		return;
	log_notice("stream %s: stopping; clients have %" PRIu64 " ms to receive the rest",
		   stream_name(stream), drain_us / 1000);
	stream_watch_report(&streams->watch, (struct stream_event){
						     .type = EVENT_STREAM_DRAINING,
						     .stream = stream_name(stream),
					     });
	generation_drain(generation, drain_us);
}

/* ---- searching ---- */

struct stream *streams_find(const struct streams *streams, const char *name)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry) {
		if (generation->state == GENERATION_CURRENT &&
		    !stream_is_ending(generation->stream) &&
		    !strcmp(stream_settings(generation->stream)->name, name))
			return generation->stream;
	}
	return NULL;
}

bool streams_is_finished(const struct streams *streams, const struct stream_settings *settings)
{
	const struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry) {
		if (generation->state == GENERATION_CURRENT &&
		    stream_is_ending(generation->stream) &&
		    stream_names_is_unchanged(stream_settings(generation->stream), settings))
			return true;
	}
	return stream_names_is_finished(&streams->names, settings);
}

void streams_forget_others(struct streams *streams, const struct stream_settings *settings,
			   size_t count)
{
	stream_names_forget_others(&streams->names, settings, count);
}

static bool generation_goes_on(const struct generation *generation)
{
	return generation->state != GENERATION_PREPARED && !stream_has_ended(generation->stream);
}

uint64_t streams_count(const struct streams *streams)
{
	const struct generation *generation;
	uint64_t count = 0;

	TAILQ_FOREACH (generation, &streams->generations, entry)
		count += generation_goes_on(generation);
	return count;
}

void streams_each(const struct streams *streams,
		  void (*each)(void *argument, struct stream *stream), void *argument)
{
	struct generation *generation, *next;

	TAILQ_FOREACH_SAFE (generation, &streams->generations, entry, next) {
		if (generation_goes_on(generation))
			each(argument, generation->stream);
	}
}

void streams_each_current(struct streams *streams,
			  void (*each)(void *argument, struct stream *stream), void *argument)
{
	struct generation *generation, *next;

	TAILQ_FOREACH_SAFE (generation, &streams->generations, entry, next) {
		if (generation->state == GENERATION_CURRENT &&
		    !stream_is_ending(generation->stream))
			each(argument, generation->stream);
	}
}

/* ---- all streams ---- */

struct streams *streams_create(struct event_base *base, const struct streams_callbacks *callbacks,
			       void *argument)
{
	struct streams *streams = calloc(1, sizeof(*streams));

	if (!streams)
		return NULL;
	streams->base = base;
	streams->callbacks = callbacks;
	streams->argument = argument;
	streams->stream_callbacks = (struct stream_callbacks){
		.ended = generation_stream_ended,
		.device_lost = generation_device_lost,
		.watch = &streams->watch,
	};
	stream_watch_init(&streams->watch, base);
	stream_names_init(&streams->names);
	TAILQ_INIT(&streams->generations);
	streams->sweep = evtimer_new(base, streams_sweep, streams);
	if (streams->sweep)
		return streams;
	streams_close(streams);
	return NULL;
}

struct stream_watch *streams_watch(struct streams *streams)
{
	return &streams->watch;
}

bool streams_is_running(const struct streams *streams)
{
	return streams->running;
}

bool streams_is_empty(const struct streams *streams)
{
	return TAILQ_EMPTY(&streams->generations);
}

void streams_start(struct streams *streams)
{
	struct generation *generation;

	streams->running = true;
	TAILQ_FOREACH_REVERSE (generation, &streams->generations, generation_list, entry)
		stream_start(generation->stream);
}

void streams_stop(struct streams *streams)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry)
		stream_stop(generation->stream);
}

void streams_kick_all(struct streams *streams, enum leave_reason reason, const char *text)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry)
		stream_kick_all(generation->stream, reason, text);
}

void streams_kill_commands(struct streams *streams)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry)
		stream_kill_command(generation->stream);
}

uint64_t streams_clients(const struct streams *streams)
{
	const struct generation *generation;
	uint64_t clients = 0;

	TAILQ_FOREACH (generation, &streams->generations, entry)
		clients += stream_clients(generation->stream);
	return clients;
}

static void streams_report_name(const struct streams *streams, const struct name_totals *totals,
				struct name_report *report)
{
	const struct generation *generation;
	struct stream_report stream;

	name_report_init(report, totals);
	TAILQ_FOREACH (generation, &streams->generations, entry) {
		if (generation->totals != totals || stream_has_ended(generation->stream))
			continue;
		stream_report(generation->stream, &stream);
		name_report_add(report, &stream);
	}
}

void streams_each_name(const struct streams *streams,
		       void (*each)(void *argument, const struct name_report *report),
		       void *argument)
{
	const struct name_totals *totals;
	struct name_report report;

	TAILQ_FOREACH (totals, &streams->names.totals, entry) {
		streams_report_name(streams, totals, &report);
		each(argument, &report);
	}
}

/* ---- handover ---- */

/* Upper bound for the streams of all names that have not left. */
#define MAX_GENERATIONS 100000U

/* What is saved of a generation besides its name and its stream. */
static void generation_transfer(struct generation *generation, struct state *state)
{
	int number = (int)generation->state;

	state_choice(state, "state", &number, GENERATION_FORMER + 1);
	timer_transfer(&generation->drain_timer, state, "drain_timer");
	generation->state = (enum generation_state)number;
	if (generation->state == GENERATION_PREPARED)
		state_fail(state, "the stream is only prepared: a reload is under way");
}

static void generation_save(struct generation *generation, struct state *state)
{
	char *name = generation->totals->name;

	state_string_copy(state, "name", &name);
	generation_transfer(generation, state);
	if (!state_failed(state))
		stream_save(generation->stream, state);
}

void streams_save(struct streams *streams, struct state *state)
{
	struct generation *generation;

	state_enter(state, "streams");
	if (!streams->running)
		state_fail(state, "the streams were not started");
	stream_names_save(&streams->names, state);
	state_list(state, "generations", MAX_GENERATIONS);
	TAILQ_FOREACH (generation, &streams->generations, entry) {
		state_item(state);
		generation_save(generation, state);
		state_leave(state);
	}
	state_list_end(state);
	state_leave(state);
}

/* Return: a generation without a stream, the last one of the list; NULL after a failure. */
static struct generation *generation_restore_name(struct streams *streams, struct state *state)
{
	struct generation *generation = NULL;
	char *name = NULL;

	state_string_copy(state, "name", &name);
	if (name)
		generation = generation_add(streams, name);
	free(name);
	if (!generation) {
		state_fail(state, "name: expected one, and memory for it");
		return NULL;
	}
	TAILQ_REMOVE(&streams->generations, generation, entry);
	TAILQ_INSERT_TAIL(&streams->generations, generation, entry);
	return generation;
}

/* A generation of which this is not true would be closed too early, or never. */
static void generation_check_restored(const struct generation *generation, struct state *state)
{
	const struct stream *stream = generation->stream;

	if (strcmp(stream_name(stream), generation->totals->name) != 0)
		state_fail(state, "the stream has another name");
	if (generation->state == GENERATION_FORMER && !stream_is_ending(stream))
		state_fail(state, "a former stream goes on");
	if (stream_has_ended(stream))
		event_active(generation->streams->sweep, EV_TIMEOUT, 0);
}

static void generation_restore(struct streams *streams, struct state *state)
{
	struct generation *generation = generation_restore_name(streams, state);

	if (!generation)
		return;
	generation_transfer(generation, state);
	generation->stream = stream_restore(streams->base, &generation->totals->stats,
					    &streams->stream_callbacks, generation, state);
	if (generation->stream)
		generation_check_restored(generation, state);
}

/* Undo what a restore did that has failed. */
static void streams_abandon(struct streams *streams)
{
	struct generation *generation;

	while ((generation = TAILQ_FIRST(&streams->generations))) {
		if (generation->stream)
			stream_abandon(generation->stream);
		generation_remove(generation);
	}
	event_del(streams->sweep);
	stream_names_free(&streams->names);
}

bool streams_restore(struct streams *streams, struct state *state)
{
	assert(!streams->running && TAILQ_EMPTY(&streams->generations));
	state_enter(state, "streams");
	stream_names_restore(&streams->names, state);
	state_list(state, "generations", MAX_GENERATIONS);
	while (state_next_item(state))
		generation_restore(streams, state);
	state_leave(state);
	streams->running = !state_failed(state);
	if (!streams->running)
		streams_abandon(streams);
	return streams->running;
}

bool streams_close(struct streams *streams)
{
	bool complete = !streams->running || TAILQ_EMPTY(&streams->generations);
	struct generation *generation;

	stream_watch_end(&streams->watch);
	/* Streams that have not ended still count into their totals, so both stay. */
	if (!complete)
		stream_names_free(&streams->names);
	while ((generation = TAILQ_FIRST(&streams->generations))) {
		if (!streams->running)
			stream_close(generation->stream);
		generation_remove(generation);
	}
	if (complete)
		stream_names_free(&streams->names);
	if (streams->sweep)
		event_free(streams->sweep);
	free(streams);
	return complete;
}
