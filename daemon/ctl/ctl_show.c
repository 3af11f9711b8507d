// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/ctl_show.h"

#include "ctl/ctl_answer.h"
#include "ctl/ctl_table.h"
#include "lib/units.h"

#include <bsd/string.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "-";
}

static double show_number_of(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static const char *short_of(const json_t *object, const char *name, char text[UNITS_TEXT])
{
	if (!json_object_get(object, name))
		strlcpy(text, "-", UNITS_TEXT);
	else
		units_format_short(answer_count(object, name), text);
	return text;
}

/* Write a time in its two largest units. */
static const char *format_time(double seconds, char text[UNITS_TEXT])
{
	unsigned long s = seconds > 0 ? (unsigned long)seconds : 0;

	if (s < 60)
		snprintf(text, UNITS_TEXT, "%lus", s);
	else if (s < 3600)
		snprintf(text, UNITS_TEXT, "%lum %lus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, UNITS_TEXT, "%luh %lum", s / 3600, s / 60 % 60);
	else
		snprintf(text, UNITS_TEXT, "%lud %luh", s / 86400, s / 3600 % 24);
	return text;
}

/* Write the share of all sends that copied: by choice, or in the kernel after all. */
static const char *copied_of(const json_t *object, char text[UNITS_TEXT])
{
	double copied =
		show_number_of(object, "copied_sends") + show_number_of(object, "completed_copied");
	double all =
		show_number_of(object, "copied_sends") + show_number_of(object, "zerocopy_sends");

	if (all > 0)
		snprintf(text, UNITS_TEXT, "%.0f%%", 100 * copied / all);
	else
		strlcpy(text, "-", UNITS_TEXT);
	return text;
}

/* ---- the daemon ---- */

const char *show_headline(const json_t *status, char *line, size_t size)
{
	char time_text[UNITS_TEXT];

	snprintf(line, size, "dmacastd %s, pid %.0f, %s, up %s", text_of(status, "version"),
		 show_number_of(status, "pid"), text_of(status, "state"),
		 format_time((double)time(NULL) - show_number_of(status, "started"), time_text));
	return line;
}

static double sum_of(const json_t *streams, const char *name)
{
	const json_t *stream;
	double sum = 0;
	size_t i;

	json_array_foreach(json_object_get(streams, "streams"), i, stream) sum +=
		show_number_of(stream, name);
	return sum;
}

const char *show_totals(const json_t *status, const json_t *streams, char *line, size_t size)
{
	char in[UNITS_TEXT], out[UNITS_TEXT];

	snprintf(line, size, "streams %.0f, clients %.0f, in %s/s, out %s/s",
		 show_number_of(status, "streams"), show_number_of(status, "clients"),
		 units_format_short((uint64_t)sum_of(streams, "in_rate"), in),
		 units_format_short((uint64_t)sum_of(streams, "out_rate"), out));
	return line;
}

/* Print the number of sources in each state, as in "2 running, 1 silent". */
static void show_source_states(const json_t *streams, FILE *file)
{
	static const char *const word[] = { "running", "silent", "connecting", "waiting", "ended" };
	const char *separator = "sources    ";
	const json_t *stream;
	size_t i;

	for (size_t w = 0; w < LENGTH(word); w++) {
		unsigned int count = 0;

		json_array_foreach(json_object_get(streams, "streams"), i, stream) count +=
			!strcmp(text_of(stream, "source_state"), word[w]);
		if (!count)
			continue;
		fprintf(file, "%s%u %s", separator, count, word[w]);
		separator = ", ";
	}
	fputs(*separator == ',' ? "\n" : "", file);
}

/* Print the endpoints that wait, one a line. */
static void show_waiting_endpoints(const json_t *streams, FILE *file)
{
	const json_t *stream, *endpoint;
	size_t i, j;

	json_array_foreach(json_object_get(streams, "streams"), i, stream)
	{
		json_array_foreach(json_object_get(stream, "endpoints"), j, endpoint)
		{
			if (!strcmp(text_of(endpoint, "state"), "waiting"))
				fprintf(file, "waiting    stream %s: listen = %s: %s\n",
					text_of(stream, "name"), text_of(endpoint, "listen"),
					text_of(endpoint, "reason"));
		}
	}
}

/* Print how long the event loop was busy at a time: nothing else is done meanwhile. */
static void show_loop(const json_t *status, FILE *file)
{
	const json_t *loop = json_object_get(status, "loop");
	const json_t *p99 = json_object_get(json_object_get(loop, "turns"), "p99");

	if (!loop)
		return;
	fprintf(file, "loop       ");
	if (json_is_number(p99))
		fprintf(file, "99%% of its turns within %g ms, ", 1000 * json_number_value(p99));
	fprintf(file, "the longest took %.1f ms\n", 1000 * show_number_of(loop, "longest"));
}

/* Return a number of the last handover. */
static double show_handover_number(const json_t *status, const char *name)
{
	return json_number_value(json_object_get(json_object_get(status, "handovers"), name));
}

const char *show_handover(const json_t *status, char *line, size_t size)
{
	snprintf(line, size,
		 "dmacastd %s, pid %.0f: took over %.0f stream(s) with %.0f client(s) "
		 "in %.0f ms",
		 text_of(status, "version"), show_number_of(status, "pid"),
		 show_handover_number(status, "streams"), show_handover_number(status, "clients"),
		 show_handover_number(status, "pause_seconds") * 1000);
	return line;
}

static void show_handovers(const json_t *status, FILE *file)
{
	if (show_handover_number(status, "count") > 0)
		fprintf(file,
			"handovers  %.0f, the last one with %.0f clients, paused for %.0f ms\n",
			show_handover_number(status, "count"),
			show_handover_number(status, "clients"),
			show_handover_number(status, "pause_seconds") * 1000);
}

void show_status(const json_t *status, const json_t *streams, FILE *file)
{
	char line[256], text[UNITS_TEXT];

	fprintf(file, "%s\n", show_headline(status, line, sizeof(line)));
	fprintf(file, "log level  %s\n", text_of(status, "log_level"));
	show_loop(status, file);
	show_handovers(status, file);
	fprintf(file, "streams    %.0f\n", show_number_of(status, "streams"));
	show_source_states(streams, file);
	show_waiting_endpoints(streams, file);
	fprintf(file, "clients    %.0f\n", show_number_of(status, "clients"));
	fprintf(file, "in         %s/s\n",
		units_format_about((uint64_t)sum_of(streams, "in_rate"), text));
	fprintf(file, "out        %s/s",
		units_format_about((uint64_t)sum_of(streams, "out_rate"), text));
	fprintf(file, ", %s so far\n",
		units_format_about(answer_count(status, "sent_bytes"), text));
	fprintf(file, "dropped    %s\n",
		units_format_about(answer_count(status, "dropped_bytes"), text));
}

/* ---- streams ---- */

/* Write the 99th percentile of the time from capture to acknowledgement. */
static const char *acknowledged_of(const json_t *stream, char text[UNITS_TEXT])
{
	const json_t *latency = json_object_get(stream, "latency");
	const json_t *p99 = json_object_get(json_object_get(latency, "to_acknowledged"), "p99");

	if (json_is_number(p99))
		snprintf(text, UNITS_TEXT, "%.1fms", 1000 * json_number_value(p99));
	else
		strlcpy(text, "-", UNITS_TEXT);
	return text;
}

/* Return the state of the stream; while it runs, that of its source. */
static const char *state_of(const json_t *stream)
{
	const char *state = text_of(stream, "state");

	return strcmp(state, "running") ? state : text_of(stream, "source_state");
}

static void add_socket_memory(struct table *table, const json_t *stream)
{
	char granted[UNITS_TEXT], limit[UNITS_TEXT];

	if (json_object_get(stream, "socket_memory_limit_bytes"))
		table_add(table, "%s/%s", short_of(stream, "socket_memory_granted_bytes", granted),
			  short_of(stream, "socket_memory_limit_bytes", limit));
	else
		table_add(table, "-");
}

static void add_stream_row(struct table *table, const json_t *stream)
{
	const json_t *ring = json_object_get(stream, "ring");
	const json_t *filled = json_object_get(stream, "filled");
	char text[UNITS_TEXT];

	table_add(table, "%s", text_of(stream, "name"));
	table_add(table, "%s", state_of(stream));
	table_add(table, "%.0f", show_number_of(stream, "clients"));
	table_add(table, "%s", short_of(stream, "in_rate", text));
	table_add(table, "%s", short_of(stream, "out_rate", text));
	table_add(table, "%s", short_of(stream, "most_lag_bytes", text));
	if (ring) {
		table_add(table, "%.0f/%.0f", show_number_of(ring, "free"),
			  show_number_of(ring, "all"));
		table_add(table, "%.0f", show_number_of(ring, "pinned"));
		table_add(table, "%s", short_of(stream, "retained_bytes", text));
	} else {
		table_add(table, "-");
		table_add(table, "-");
		table_add(table, "-");
	}
	add_socket_memory(table, stream);
	table_add(table, "%s", copied_of(stream, text));
	table_add(table, "%s", short_of(stream, "dropped_bytes", text));
	table_add(table, "%.0f", show_number_of(filled, "lost_blocks"));
	table_add(table, "%s", acknowledged_of(stream, text));
	table_add(table, "%s", text_of(stream, "source"));
}

struct table *show_streams(const json_t *streams)
{
	static const struct table_column columns[] = {
		{ "STREAM", false }, { "STATE", false },  { "CLIENTS", true }, { "IN/S", true },
		{ "OUT/S", true },   { "LAG", true },	  { "FREE", true },    { "PINNED", true },
		{ "KEPT", true },    { "SOCKMEM", true }, { "COPIED", true },  { "DROPPED", true },
		{ "LOST", true },    { "ACK99", true },	  { "SOURCE", false },
	};
	struct table *table = table_create(columns, LENGTH(columns));
	const json_t *stream;
	size_t i;

	json_array_foreach(json_object_get(streams, "streams"), i, stream)
		add_stream_row(table, stream);
	return table;
}

/* ---- clients ---- */

static void add_client_stream(struct table *table, const json_t *client)
{
	const char *section = json_string_value(json_object_get(client, "section"));

	table_add(table, "%s%s%s", text_of(client, "stream"), section ? "/" : "",
		  section ? section : "");
}

static void add_client_row(struct table *table, const json_t *client)
{
	char text[UNITS_TEXT];

	table_add(table, "%s", text_of(client, "peer"));
	add_client_stream(table, client);
	table_add(table, "%s", short_of(client, "out_rate", text));
	table_add(table, "%s", short_of(client, "lag_bytes", text));
	table_add(table, "%.0fms", 1000 * show_number_of(client, "lag_seconds"));
	table_add(table, "%.0f", show_number_of(client, "pinned_blocks"));
	table_add(table, "%s", copied_of(client, text));
	table_add(table, "%s", short_of(client, "dropped_bytes", text));
	table_add(table, "%s", short_of(client, "sent_bytes", text));
	table_add(table, "%s", short_of(client, "received_bytes", text));
	table_add(table, "%s", format_time(show_number_of(client, "seconds"), text));
	table_add(table, "%s", text_of(client, "state"));
}

struct table *show_clients(const json_t *clients)
{
	static const struct table_column columns[] = {
		{ "CLIENT", false }, { "STREAM", false },  { "OUT/S", true },  { "LAG", true },
		{ "BEHIND", true },  { "PINNED", true },   { "COPIED", true }, { "DROPPED", true },
		{ "SENT", true },    { "RECEIVED", true }, { "TIME", true },   { "STATE", false },
	};
	struct table *table = table_create(columns, LENGTH(columns));
	const json_t *client;
	size_t i;

	json_array_foreach(json_object_get(clients, "clients"), i, client)
		add_client_row(table, client);
	return table;
}
