// SPDX-License-Identifier: BSD-2-Clause
#include "observe/report.h"

#include "lib/clock.h"
#include "lib/json_text.h"
#include "lib/loop_time.h"
#include "lib/meta.h"
#include "lib/process.h"
#include "lib/succession.h"
#include "lib/units.h"
#include "stream/client.h"
#include "stream/endpoints.h"
#include "stream/streams.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Length of the metadata of a stream in a report. */
#define MAX_METADATA_BYTES 4096U

/* ---- values ---- */

/* Every counter stays far below 2^63, the limit of a JSON integer in jansson. */
static json_t *report_number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *report_seconds(uint64_t ns)
{
	return json_real((double)ns / 1e9);
}

/* An object or array under construction; incomplete after a failed allocation. */
struct builder {
	json_t *json;
	bool failed;
};

/* Take over @value. */
static void add_member(struct builder *object, const char *name, json_t *value)
{
	object->failed |= json_object_set_new(object->json, name, value) != 0;
}

/* Take over @value. */
static void add_element(struct builder *array, json_t *value)
{
	array->failed |= json_array_append_new(array->json, value) != 0;
}

/* Return: the object or array; NULL if it is incomplete. */
static json_t *finish_json(struct builder *builder)
{
	if (!builder->failed)
		return builder->json;
	json_decref(builder->json);
	return NULL;
}

/* ---- parts of a stream ---- */

static json_t *report_blocks(const struct stream_report *stream)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "all", stream->blocks, "free",
			 stream->blocks_free, "filling", stream->blocks_filling, "window",
			 stream->blocks_window, "retained", stream->blocks_retained, "pinned",
			 stream->blocks_pinned);
}

static json_t *report_kernel(const struct ring_kernel_report *kernel)
{
	json_t *blocks =
		json_pack("{s:i, s:i, s:i, s:i, s:i}", "free", kernel->blocks_free, "queued",
			  kernel->blocks_queued, "ready", kernel->blocks_ready, "lent",
			  kernel->blocks_lent, "quarantine", kernel->blocks_quarantine);

	return json_pack(
		"{s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "blocks", blocks,
		"running", kernel->running, "completed", report_number(kernel->completed), "bytes",
		report_number(kernel->bytes), "overruns", report_number(kernel->overruns), "stalls",
		report_number(kernel->stalls), "errors", report_number(kernel->errors),
		"short_transfers", report_number(kernel->short_transfers), "quarantined",
		report_number(kernel->quarantined), "replaced", report_number(kernel->replaced),
		"left_behind", report_number(kernel->left_behind), "left_refused",
		report_number(kernel->left_refused));
}

static json_t *report_listen(const struct text_list *listen)
{
	struct builder list = { .json = json_array() };

	for (size_t i = 0; i < listen->count; i++)
		add_element(&list, json_text(listen->item[i]));
	return finish_json(&list);
}

static void append_address(void *argument, const char *address)
{
	add_element(argument, json_text(address));
}

static json_t *report_addresses(const struct listener *listener)
{
	struct builder list = { .json = json_array() };

	listener_each_address(listener, append_address, &list);
	return finish_json(&list);
}

static json_t *report_endpoint(const struct listener *listener)
{
	const char *reason = listener_waits_for(listener);

	return json_pack("{s:o, s:s, s:o, s:o}", "listen", json_text(listener_endpoint(listener)),
			 "state", reason ? "waiting" : "listening", "reason",
			 reason ? json_text(reason) : json_null(), "addresses",
			 report_addresses(listener));
}

static void append_endpoint(void *argument, const struct listener *listener)
{
	add_element(argument, report_endpoint(listener));
}

static json_t *report_endpoints(const struct stream *stream)
{
	struct builder list = { .json = json_array() };

	stream_each_listener(stream, append_endpoint, &list);
	return finish_json(&list);
}

static void append_section(void *argument, const struct section_report *section)
{
	struct builder *list = argument, object = { .json = json_object() };

	add_member(&object, "section", section->name ? json_string(section->name) : json_null());
	add_member(&object, "listen", report_listen(section->listen));
	add_member(&object, "format", json_string(section->format));
	add_member(&object, "zerocopy", json_string(section->zerocopy));
	add_member(&object, "max_clients", report_number(section->settings->max_clients));
	add_member(&object, "clients", report_number(section->clients));
	add_member(&object, "joined", report_number(section->stats->joined));
	add_member(&object, "refused", report_number(section->stats->refused));
	add_element(list, finish_json(&object));
}

static json_t *report_sections(const struct stream *stream)
{
	struct builder list = { .json = json_array() };

	stream_each_section_report(stream, append_section, &list);
	return finish_json(&list);
}

/* Metadata may have 64 KiB; an answer has no space for that of many streams. */
static json_t *report_metadata(const struct text_list *metadata)
{
	struct builder object = { .json = json_object() };
	size_t left = MAX_METADATA_BYTES;
	char key[META_KEY_TEXT];

	for (size_t i = 0; i < metadata->count; i++) {
		const char *value = meta_key(metadata->item[i], key);
		size_t length = strlen(metadata->item[i]);

		if (length > left)
			continue;
		left -= length;
		add_member(&object, key, json_text(value));
	}
	return finish_json(&object);
}

static json_t *report_filled(const struct stream_stats *stats)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "blocks", report_number(stats->blocks),
			 "bytes", report_number(stats->bytes), "lost_blocks",
			 report_number(stats->lost_blocks), "losses", report_number(stats->losses),
			 "broken_records", report_number(stats->broken_records), "waits",
			 report_number(stats->waits));
}

static json_t *report_left(const struct stream_stats *stats)
{
	struct builder left = { .json = json_object() };

	for (enum leave_reason reason = 0; reason < LEAVE_REASONS; reason++)
		add_member(&left, leave_reason_word(reason),
			   report_number(stats->left_for[reason]));
	return finish_json(&left);
}

static json_t *report_refused(const struct stream_stats *stats)
{
	struct builder refused = { .json = json_object() };

	for (enum refuse_reason reason = 0; reason < REFUSE_REASONS; reason++)
		add_member(&refused, refuse_reason_word(reason),
			   report_number(stats->refused_for[reason]));
	return finish_json(&refused);
}

static json_t *report_http_answers(const struct stream_stats *stats)
{
	struct builder answers = { .json = json_object() };

	for (enum http_code code = 0; code < HTTP_CODES; code++) {
		char number[UNITS_TEXT];

		snprintf(number, sizeof(number), "%u", http_code_number(code));
		add_member(&answers, number, report_number(stats->http_answers[code]));
	}
	return finish_json(&answers);
}

/* ---- histograms ---- */

/* JSON has no infinity: null. */
static json_t *report_quantile(const struct histogram *histogram, double quantile)
{
	double bound = histogram_quantile(histogram, quantile);

	return isfinite(bound) ? json_real(bound) : json_null();
}

static json_t *report_buckets(const struct histogram *histogram)
{
	struct builder list = { .json = json_array() };

	for (unsigned int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		add_element(&list, report_number(histogram->count[i]));
	return finish_json(&list);
}

static json_t *report_histogram(const struct histogram *histogram)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "count",
			 report_number(histogram_count(histogram)), "sum",
			 json_real(histogram_sum(histogram)), "p50",
			 report_quantile(histogram, 0.5), "p90", report_quantile(histogram, 0.9),
			 "p99", report_quantile(histogram, 0.99), "buckets",
			 report_buckets(histogram));
}

/* ---- the daemon ---- */

static json_t *report_loop(const struct loop_time *loop)
{
	return json_pack("{s:o, s:o}", "turns", report_histogram(&loop->turns), "longest",
			 report_seconds(loop->longest_ns));
}

static json_t *report_handovers(const struct succession *handover)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "count", report_number(handover->handovers),
			 "streams", report_number(handover->streams), "clients",
			 report_number(handover->clients), "pause_seconds",
			 report_seconds(handover->pause_ns));
}

json_t *report_daemon(void)
{
	return json_pack("{s:s, s:i, s:o, s:o, s:o}", "version", DMACAST_VERSION, "pid",
			 (int)getpid(), "started", json_real(process_start_time()), "loop",
			 report_loop(loop_time()), "handovers", report_handovers(succession()));
}

/* ---- streams ---- */

static json_t *report_latency(const struct latency *latency)
{
	return json_pack("{s:o, s:o}", "to_send", report_histogram(&latency->to_send),
			 "to_acknowledged", report_histogram(&latency->to_acknowledged));
}

/* Report what became of the bytes that clients sent. */
static json_t *report_client_input(const struct name_report *name)
{
	return json_pack("{s:o, s:o, s:o}", "forwarded_bytes",
			 report_number(name->stats->input.forwarded_bytes), "discarded_bytes",
			 report_number(name->stats->input.discarded_bytes), "queued_bytes",
			 report_number(name->queued_input_bytes));
}

/* Add what one client got, or all clients of a stream. */
static void add_sent(struct builder *object, const struct client_totals *totals)
{
	const struct client_stats *stats = &totals->stats;
	const struct zerocopy_stats *sends = &totals->sends;

	add_member(object, "sent_bytes", report_number(stats->sent_bytes));
	add_member(object, "dropped_bytes", report_number(stats->dropped_bytes));
	add_member(object, "drops", report_number(stats->drops));
	add_member(object, "received_bytes", report_number(stats->received_bytes));
	add_member(object, "zerocopy_sends", report_number(sends->zerocopy_sends));
	add_member(object, "copied_sends", report_number(sends->copied_sends));
	add_member(object, "completed", report_number(sends->completed));
	add_member(object, "completed_copied", report_number(sends->completed_copied));
	add_member(object, "enobufs", report_number(sends->no_buffer));
}

static void add_newest_stream(struct builder *object, const struct stream_report *stream)
{
	add_member(object, "source", json_text(stream->source));
	add_member(object, "source_state", json_string(stream->source_state));
	add_member(object, "source_byte_age_seconds",
		   stream->has_source_byte ? report_seconds(stream->source_byte_age_ns)
					   : json_null());
	add_member(object, "memory", json_text(stream->memory));
	add_member(object, "listen", report_listen(&stream->settings->listen));
	add_member(object, "endpoints", report_endpoints(stream->stream));
	add_member(object, "sections", report_sections(stream->stream));
	add_member(object, "metadata", report_metadata(&stream->settings->meta));
	add_member(object, "record_size", report_number(stream->settings->record_size));
	add_member(object, "block_size", report_number(stream->block_size));
	add_member(object, "ring", report_blocks(stream));
	add_member(object, "retained_bytes", report_number(stream->retained_bytes));
	add_member(object, "retained_seconds", report_seconds(stream->retained_ns));
	add_member(object, "socket_memory_limit_bytes", report_number(stream->socket_memory_limit));
	if (stream->has_kernel)
		add_member(object, "kernel", report_kernel(&stream->kernel));
	add_member(object, "next_sequence", report_number(stream->head));
}

static void append_stream(void *argument, const struct name_report *name)
{
	const struct stream_stats *stats = name->stats;
	uint64_t now_ns = clock_monotonic_ns();
	struct builder *list = argument, object = { .json = json_object() };

	add_member(&object, "name", json_string(name->name));
	add_member(&object, "state", json_string(name->generations ? name->newest.state : "ended"));
	if (name->generations)
		add_newest_stream(&object, &name->newest);
	add_member(&object, "source_starts", report_number(stats->source_starts));
	add_member(&object, "source_restarts", report_number(stats->source_restarts));
	add_member(&object, "origin_switches", report_number(stats->origin_switches));
	add_member(&object, "filled", report_filled(stats));
	add_member(&object, "in_rate",
		   report_number(rate_per_second(&stats->rate, stats->bytes, now_ns)));
	add_member(&object, "out_rate",
		   report_number(rate_per_second(&stats->sent.rate, stats->sent.bytes, now_ns)));
	add_member(&object, "client_input", report_client_input(name));
	add_member(&object, "latency", report_latency(&stats->latency));
	add_member(&object, "clients", report_number(name->clients));
	add_member(&object, "outstanding_sends", report_number(name->outstanding_sends));
	add_member(&object, "socket_memory_granted_bytes",
		   report_number(name->socket_memory_granted));
	add_member(&object, "most_lag_bytes", report_number(name->most_lag_bytes));
	add_member(&object, "most_lag_seconds", report_seconds(name->most_lag_ns));
	add_member(&object, "copied_rest_bytes", report_number(name->copied_rest_bytes));
	add_member(&object, "joined", report_number(stats->joined));
	add_member(&object, "refused", report_number(stats->refused));
	add_member(&object, "refused_for", report_refused(stats));
	add_member(&object, "left", report_left(stats));
	add_member(&object, "http_requests", report_http_answers(stats));
	add_sent(&object, &name->totals);
	add_element(list, finish_json(&object));
}

json_t *report_streams(const struct streams *streams)
{
	struct builder list = { .json = json_array() };

	streams_each_name(streams, append_stream, &list);
	return finish_json(&list);
}

/* ---- clients ---- */

struct client_list_builder {
	struct builder list;
	const char *only;   /* name of the wanted stream; NULL: every stream */
	const char *stream; /* name of the current stream */
	struct report_page *page;
	uint64_t now_ns;
};

json_t *report_client(const struct client *client, const char *stream, uint64_t now_ns)
{
	struct builder object = { .json = json_object() };
	struct client_report report;

	client_report(client, now_ns, &report);
	add_member(&object, "peer", json_text(report.peer));
	add_member(&object, "endpoint", json_text(report.endpoint));
	add_member(&object, "stream", json_string(stream));
	add_member(&object, "section", report.section ? json_string(report.section) : json_null());
	add_member(&object, "state", json_string(report.state));
	add_member(&object, "seconds", report_seconds(now_ns - report.joined_ns));
	add_member(&object, "sequence", report_number(report.sequence));
	add_member(&object, "lag_bytes", report_number(report.lag_bytes));
	add_member(&object, "lag_seconds", report_seconds(report.lag_ns));
	add_member(&object, "sending", json_string(report.sending));
	add_member(&object, "format", json_string(report.format));
	add_member(&object, "outstanding_sends", report_number(report.outstanding));
	add_member(&object, "pinned_blocks", report_number(report.pinned_blocks));
	add_member(&object, "unsent_limit_bytes", report_number(report.unsent_limit));
	add_sent(&object, &report.totals);
	return finish_json(&object);
}

static void append_client(void *argument, const struct client *client)
{
	struct client_list_builder *builder = argument;
	struct report_page *page = builder->page;
	uint64_t index = page->total++;

	if (index < page->first || index - page->first >= page->limit)
		return;
	add_element(&builder->list, report_client(client, builder->stream, builder->now_ns));
}

static void append_clients(void *argument, struct stream *stream)
{
	struct client_list_builder *builder = argument;

	builder->stream = stream_name(stream);
	if (!builder->only || !strcmp(builder->only, builder->stream))
		stream_each_client(stream, append_client, builder);
}

json_t *report_clients(const struct streams *streams, const char *name, struct report_page *page)
{
	struct client_list_builder builder = {
		.list.json = json_array(),
		.only = name,
		.page = page,
		.now_ns = clock_monotonic_ns(),
	};

	builder.page->total = 0;
	streams_each(streams, append_clients, &builder);
	return finish_json(&builder.list);
}

/* ---- all clients, as text ---- */

struct client_writer {
	FILE *file;
	const char *stream; /* name of the current stream */
	uint64_t now_ns, count;
	bool failed;
};

/* Free each object at once: a tree of thousands would take several times as long. */
static void write_client(void *argument, const struct client *client)
{
	struct client_writer *writer = argument;
	json_t *object = report_client(client, writer->stream, writer->now_ns);

	fputs(writer->count++ ? ",\n  " : "\n  ", writer->file);
	writer->failed |= !object || json_dumpf(object, writer->file, JSON_REAL_PRECISION(12)) != 0;
	json_decref(object);
}

static void write_clients_of(void *argument, struct stream *stream)
{
	struct client_writer *writer = argument;

	writer->stream = stream_name(stream);
	stream_each_client(stream, write_client, writer);
}

bool report_write_clients(FILE *file, const struct streams *streams)
{
	struct client_writer writer = { .file = file, .now_ns = clock_monotonic_ns() };

	fputc('[', file);
	streams_each(streams, write_clients_of, &writer);
	fputs("\n ]", file);
	return !writer.failed && !ferror(file);
}
