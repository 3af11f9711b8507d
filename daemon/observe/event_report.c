// SPDX-License-Identifier: BSD-2-Clause
#include "observe/event_report.h"

#include "lib/clock.h"
#include "lib/json_text.h"
#include "lib/timestamp.h"
#include "stream/stream_event.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>

/* Groups of members, which a type of event has beside the time and its word. */
enum {
	HAS_STREAM = 1,
	HAS_SECTION = 2, /* and the client, if there is one, and where it connected */
	HAS_REASON = 4,
	HAS_TEXT = 8,
	HAS_SUM = 16,
	HAS_BYTES = 32,
	HAS_CLIENTS = 64,
	HAS_TOTALS = 128,
	HAS_DURATION = 256,
	HAS_RESTARTS = 512,
	HAS_FORMER = 1024,
	HAS_SWITCHES = 2048,
};

static const unsigned int event_members[STREAM_EVENT_TYPES] = {
	[EVENT_JOIN] = HAS_STREAM | HAS_SECTION | HAS_CLIENTS,
	[EVENT_LEAVE] = HAS_STREAM | HAS_SECTION | HAS_REASON | HAS_TEXT | HAS_DURATION |
			HAS_TOTALS | HAS_CLIENTS,
	[EVENT_REFUSED] = HAS_STREAM | HAS_SECTION | HAS_REASON | HAS_TEXT,
	[EVENT_DROP] = HAS_STREAM | HAS_SECTION | HAS_BYTES | HAS_SUM | HAS_TOTALS,
	[EVENT_OVERRUN] = HAS_STREAM | HAS_SUM,
	[EVENT_SOURCE_UP] = HAS_STREAM | HAS_RESTARTS,
	[EVENT_SOURCE_DOWN] = HAS_STREAM | HAS_TEXT,
	[EVENT_ORIGIN_SWITCHED] = HAS_STREAM | HAS_TEXT | HAS_SWITCHES,
	[EVENT_ENDPOINT_LISTENING] = HAS_STREAM | HAS_SECTION | HAS_TEXT,
	[EVENT_ENDPOINT_WAITING] = HAS_STREAM | HAS_SECTION | HAS_TEXT,
	[EVENT_ENDPOINT_CLOSED] = HAS_STREAM | HAS_SECTION,
	[EVENT_STREAM_ADDED] = HAS_STREAM,
	[EVENT_STREAM_CHANGED] = HAS_STREAM | HAS_TEXT,
	[EVENT_STREAM_RESTARTED] = HAS_STREAM | HAS_TEXT,
	[EVENT_STREAM_REMOVED] = HAS_STREAM,
	[EVENT_STREAM_DRAINING] = HAS_STREAM,
	[EVENT_STREAM_ENDED] = HAS_STREAM | HAS_BYTES | HAS_FORMER,
	[EVENT_RELOAD_DONE] = HAS_TEXT,
	[EVENT_RELOAD_FAILED] = HAS_TEXT,
	[EVENT_DRAINING] = HAS_TEXT,
};

/* Take over @value. Return: false without memory. */
static bool event_set(json_t *object, const char *name, json_t *value)
{
	return value && !json_object_set_new_nocheck(object, name, value);
}

static bool event_set_number(json_t *object, const char *name, uint64_t number)
{
	return event_set(object, name, json_integer((json_int_t)number));
}

static bool event_set_text(json_t *object, const char *name, const char *text)
{
	return event_set(object, name, text ? json_text(text) : json_null());
}

static bool event_set_time(json_t *object, const char *name, uint64_t ns)
{
	char text[TIMESTAMP_TEXT];

	return event_set(object, name, json_string(timestamp_format(ns, text)));
}

static bool event_set_place(json_t *object, const struct stream_event *event)
{
	return event_set_text(object, "section", event->section) &&
	       (!event->client || event_set_text(object, "client", event->client)) &&
	       (!event->endpoint || event_set_text(object, "endpoint", event->endpoint));
}

static bool event_set_sum(json_t *object, const struct stream_event *event)
{
	return event_set_number(object, "blocks", event->blocks) &&
	       event_set_number(object, "count", event->count) &&
	       event_set_time(object, "since", event->since_ns);
}

static bool event_set_totals(json_t *object, const struct client_stats *stats)
{
	return event_set_number(object, "sent_bytes", stats->sent_bytes) &&
	       event_set_number(object, "dropped_bytes", stats->dropped_bytes) &&
	       event_set_number(object, "drops", stats->drops);
}

static bool event_set_members(json_t *object, const struct stream_event *event)
{
	unsigned int has = event_members[event->type];

	return event_set_time(object, "time", event->time_ns) &&
	       event_set_text(object, "event", stream_event_word(event->type)) &&
	       (!(has & HAS_STREAM) || event_set_text(object, "stream", event->stream)) &&
	       (!(has & HAS_SECTION) || event_set_place(object, event)) &&
	       (!(has & HAS_REASON) || event_set_text(object, "reason", event->reason)) &&
	       (!(has & HAS_TEXT) || event_set_text(object, "text", event->text)) &&
	       (!(has & HAS_BYTES) || event_set_number(object, "bytes", event->bytes)) &&
	       (!(has & HAS_SUM) || event_set_sum(object, event)) &&
	       (!(has & HAS_DURATION) ||
		event_set(object, "seconds", json_real((double)event->duration_ns / 1e9))) &&
	       (!(has & HAS_TOTALS) || event_set_totals(object, &event->stats)) &&
	       (!(has & HAS_CLIENTS) || event_set_number(object, "clients", event->clients)) &&
	       (!(has & HAS_RESTARTS) || event_set_number(object, "restarts", event->count)) &&
	       (!(has & HAS_SWITCHES) || event_set_number(object, "switches", event->count)) &&
	       (!(has & HAS_FORMER) || event_set(object, "former", json_boolean(event->former)));
}

/* Write @object, which is freed. */
static char *event_write(json_t *object, bool complete)
{
	char *line = complete ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

	json_decref(object);
	return line;
}

char *event_report(const struct stream_event *event)
{
	json_t *object = json_object();

	return event_write(object, object && event_set_members(object, event));
}

char *event_report_lost(uint64_t count)
{
	json_t *object = json_object();
	bool complete = object && event_set_time(object, "time", clock_ns(CLOCK_REALTIME)) &&
			event_set_text(object, "event", "lost") &&
			event_set_number(object, "count", count);

	return event_write(object, complete);
}
