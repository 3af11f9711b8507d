// SPDX-License-Identifier: BSD-2-Clause
#include "streams.h"

#include "log.h"

#include <bsd/sys/queue.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What stays of a stream when it is closed: what was counted under its name. */
struct record {
	TAILQ_ENTRY(record) entry;
	char *name;
	struct stream_stats stats;
};

TAILQ_HEAD(record_list, record);

/* From stream_open() to its end. Those of one name follow each other: each has its own settings. */
struct generation {
	TAILQ_ENTRY(generation) entry;
	struct streams *streams;
	struct record *record;
	struct stream *stream;
	bool current; /* the newest of its name */
};

TAILQ_HEAD(generation_list, generation);

struct streams {
	struct event_base *base;
	struct streams_owner owner;
	struct record_list records;
	struct generation_list generations; /* those that are not current at the end */
	bool running;			    /* clients may be there */
	struct event *sweep;		    /* closes what has ended */
};

/* The record of that name, a new one if there is none. Return: NULL without memory. */
static struct record *record_of(struct streams *streams, const char *name)
{
	struct record *record;

	TAILQ_FOREACH (record, &streams->records, entry) {
		if (!strcmp(record->name, name))
			return record;
	}
	record = calloc(1, sizeof(*record));
	if (!record || !(record->name = strdup(name))) {
		log_error("stream %s: no memory", name);
		free(record);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&streams->records, record, entry);
	return record;
}

static void remove_generation(struct generation *generation)
{
	TAILQ_REMOVE(&generation->streams->generations, generation, entry);
	free(generation);
}

/* Not from within a callback of the stream. */
static void sweep(evutil_socket_t fd, short what, void *argument)
{
	struct streams *streams = argument;
	struct generation *generation, *next;

	(void)fd;
	(void)what;
	TAILQ_FOREACH_SAFE (generation, &streams->generations, entry, next) {
		if (!stream_has_ended(generation->stream))
			continue;
		stream_close(generation->stream);
		remove_generation(generation);
	}
	if (TAILQ_EMPTY(&streams->generations))
		streams->owner.all_ended(streams->owner.argument);
}

static void stream_ended(void *argument, struct stream *stream)
{
	struct generation *generation = argument;

	(void)stream;
	event_active(generation->streams->sweep, EV_TIMEOUT, 0);
}

static void stream_lost(void *argument, struct stream *lost);

/* A place for a stream, and how that stream speaks to it. */
static struct generation *add_generation(struct streams *streams, struct record *record,
					 struct stream_owner *owner)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	if (!generation) {
		log_error("no memory for one more stream");
		return NULL;
	}
	generation->streams = streams;
	generation->record = record;
	generation->current = true;
	TAILQ_INSERT_HEAD(&streams->generations, generation, entry);
	*owner = (struct stream_owner){
		.argument = generation,
		.ended = stream_ended,
		.lost = stream_lost,
	};
	return generation;
}

/* A device is gone: its stream has a successor, at the most one in addition to it. */
static void stream_lost(void *argument, struct stream *lost)
{
	struct generation *generation = argument, *other, *successor;
	struct streams *streams = generation->streams;
	struct stream_owner owner;

	TAILQ_FOREACH (other, &streams->generations, entry) {
		if (other != generation && stream_is_same(other->stream, lost))
			stream_kick_all(other->stream, LEAVE_DEVICE_GONE, NULL);
	}
	generation->current = false;
	TAILQ_REMOVE(&streams->generations, generation, entry);
	TAILQ_INSERT_TAIL(&streams->generations, generation, entry);
	successor = add_generation(streams, generation->record, &owner);
	if (!successor)
		return;
	successor->stream = stream_succeed(lost, &owner);
	if (!successor->stream)
		remove_generation(successor);
}

static bool open_stream(struct streams *streams, const struct stream_settings *settings)
{
	struct record *record = record_of(streams, settings->name);
	struct generation *generation;
	struct stream_owner owner;

	if (!record || !(generation = add_generation(streams, record, &owner)))
		return false;
	generation->stream = stream_open(streams->base, settings, &record->stats, &owner);
	if (generation->stream)
		return true;
	remove_generation(generation);
	return false;
}

struct streams *streams_open(struct event_base *base, const struct stream_settings *settings,
			     size_t count, const struct streams_owner *owner)
{
	struct streams *streams = calloc(1, sizeof(*streams));
	bool opened;

	if (!streams) {
		log_error("no memory for the streams");
		return NULL;
	}
	streams->base = base;
	streams->owner = *owner;
	TAILQ_INIT(&streams->records);
	TAILQ_INIT(&streams->generations);
	streams->sweep = evtimer_new(base, sweep, streams);
	opened = streams->sweep != NULL;
	for (size_t i = 0; opened && i < count; i++)
		opened = open_stream(streams, &settings[i]);
	if (opened)
		return streams;
	streams_close(streams);
	return NULL;
}

void streams_start(struct streams *streams)
{
	struct generation *generation;

	streams->running = true;
	TAILQ_FOREACH_REVERSE(generation, &streams->generations, generation_list, entry)
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

void streams_each(const struct streams *streams,
		  void (*each)(void *argument, struct stream *stream), void *argument)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &streams->generations, entry) {
		if (!stream_has_ended(generation->stream))
			each(argument, generation->stream);
	}
}

static void report_name(const struct streams *streams, const struct record *record,
			struct name_report *report)
{
	const struct generation *generation;
	struct stream_report one;

	*report = (struct name_report){
		.name = record->name,
		.stats = &record->stats,
		.totals = record->stats.left,
	};
	TAILQ_FOREACH (generation, &streams->generations, entry) {
		if (generation->record != record || stream_has_ended(generation->stream))
			continue;
		stream_report(generation->stream, &one);
		if (!report->generations++)
			report->newest = one;
		report->clients += one.clients;
		report->outstanding_sends += one.outstanding_sends;
		if (one.most_lag_bytes > report->most_lag_bytes)
			report->most_lag_bytes = one.most_lag_bytes;
		if (one.most_lag_ns > report->most_lag_ns)
			report->most_lag_ns = one.most_lag_ns;
		client_totals_join(&report->totals, &one.present);
	}
}

void streams_each_name(const struct streams *streams,
		       void (*each)(void *argument, const struct name_report *report),
		       void *argument)
{
	const struct record *record;
	struct name_report report;

	TAILQ_FOREACH (record, &streams->records, entry) {
		report_name(streams, record, &report);
		each(argument, &report);
	}
}

/* A stream that has not ended goes on to count. */
static void free_records(struct streams *streams)
{
	struct record *record;

	while ((record = TAILQ_FIRST(&streams->records))) {
		TAILQ_REMOVE(&streams->records, record, entry);
		free(record->name);
		free(record);
	}
}

bool streams_close(struct streams *streams)
{
	bool complete = !streams->running || TAILQ_EMPTY(&streams->generations);
	struct generation *generation;

	while ((generation = TAILQ_FIRST(&streams->generations))) {
		if (!streams->running)
			stream_close(generation->stream);
		remove_generation(generation);
	}
	if (complete)
		free_records(streams);
	if (streams->sweep)
		event_free(streams->sweep);
	free(streams);
	return complete;
}
