// SPDX-License-Identifier: BSD-2-Clause
#include "observe/report.h"

#include "lib/clock.h"
#include "lib/process.h"
#include "stream/client.h"
#include "stream/streams.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* All that is counted is far below 2^63, which is what a JSON integer holds here. */
static json_t *report_number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *report_seconds(uint64_t ns)
{
	return json_real((double)ns / 1e9);
}

json_t *report_daemon(void)
{
	return json_pack("{s:s, s:i, s:o}", "version", DMACAST_VERSION, "pid", (int)getpid(),
			 "started", json_real(process_start_time()));
}

/* ---- streams ---- */

static json_t *report_blocks(const struct stream_report *stream)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i}", "all", stream->blocks, "free",
			 stream->blocks_free, "filling", stream->blocks_filling, "window",
			 stream->blocks_window, "pinned", stream->blocks_pinned);
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
	json_t *list = json_array();

	for (size_t i = 0; i < listen->count; i++)
		json_array_append_new(list, json_string(listen->item[i]));
	return list;
}

static json_t *report_filled(const struct stream_stats *stats)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "blocks", report_number(stats->blocks),
			 "bytes", report_number(stats->bytes), "lost_blocks",
			 report_number(stats->lost_blocks), "losses", report_number(stats->losses),
			 "waits", report_number(stats->waits));
}

static json_t *report_left(const struct stream_stats *stats)
{
	json_t *left = json_object();

	for (enum leave_reason reason = 0; reason < LEAVE_REASONS; reason++)
		json_object_set_new(left, leave_reason_word(reason),
				    report_number(stats->left_for[reason]));
	return left;
}

/* JSON has no infinity. */
static json_t *report_quantile(const struct histogram *histogram, double quantile)
{
	double bound = histogram_quantile(histogram, quantile);

	return isfinite(bound) ? json_real(bound) : json_null();
}

static json_t *report_histogram(const struct histogram *histogram)
{
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o}", "count", report_number(histogram_count(histogram)),
		"sum", json_real(histogram_sum(histogram)), "p50", report_quantile(histogram, 0.5),
		"p90", report_quantile(histogram, 0.9), "p99", report_quantile(histogram, 0.99));
}

static json_t *report_latency(const struct latency *latency)
{
	return json_pack("{s:o, s:o}", "to_send", report_histogram(&latency->to_send),
			 "to_acknowledged", report_histogram(&latency->to_acknowledged));
}

/* What a client, or all of a stream, got, and how. */
static void add_sent(json_t *object, const struct client_totals *totals)
{
	const struct client_stats *stats = &totals->stats;
	const struct zerocopy_stats *sends = &totals->sends;

	json_object_set_new(object, "sent_bytes", report_number(stats->sent_bytes));
	json_object_set_new(object, "dropped_bytes", report_number(stats->dropped_bytes));
	json_object_set_new(object, "drops", report_number(stats->drops));
	json_object_set_new(object, "zerocopy_sends", report_number(sends->zerocopy_sends));
	json_object_set_new(object, "copied_sends", report_number(sends->copied_sends));
	json_object_set_new(object, "completed", report_number(sends->completed));
	json_object_set_new(object, "completed_copied", report_number(sends->completed_copied));
	json_object_set_new(object, "enobufs", report_number(sends->no_buffer));
}

static void add_newest_stream(json_t *object, const struct stream_report *stream)
{
	json_object_set_new(object, "source", json_string(stream->source));
	json_object_set_new(object, "memory", json_string(stream->memory));
	json_object_set_new(object, "listen", report_listen(&stream->settings->listen));
	json_object_set_new(object, "block_size", report_number(stream->block_size));
	json_object_set_new(object, "ring", report_blocks(stream));
	if (stream->has_kernel)
		json_object_set_new(object, "kernel", report_kernel(&stream->kernel));
	json_object_set_new(object, "next_sequence", report_number(stream->head));
}

static void append_stream(void *argument, const struct name_report *name)
{
	const struct stream_stats *stats = name->stats;
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string(name->name));
	json_object_set_new(object, "state",
			    json_string(name->generations ? name->newest.state : "ended"));
	if (name->generations)
		add_newest_stream(object, &name->newest);
	json_object_set_new(object, "filled", report_filled(stats));
	json_object_set_new(object, "latency", report_latency(&stats->latency));
	json_object_set_new(object, "clients", report_number(name->clients));
	json_object_set_new(object, "outstanding_sends", report_number(name->outstanding_sends));
	json_object_set_new(object, "most_lag_bytes", report_number(name->most_lag_bytes));
	json_object_set_new(object, "most_lag_seconds", report_seconds(name->most_lag_ns));
	json_object_set_new(object, "joined", report_number(stats->joined));
	json_object_set_new(object, "refused", report_number(stats->refused));
	json_object_set_new(object, "left", report_left(stats));
	add_sent(object, &name->totals);
	json_array_append_new(argument, object);
}

json_t *report_streams(const struct streams *streams)
{
	json_t *list = json_array();

	if (list)
		streams_each_name(streams, append_stream, list);
	return list;
}

/* ---- clients ---- */

struct client_list_builder {
	json_t *list;
	const char *only, *stream;
	struct report_page *page;
	uint64_t now_ns;
};

static void append_client(void *argument, const struct client *client)
{
	const struct client_list_builder *builder = argument;
	struct report_page *page = builder->page;
	uint64_t index = page->total++;
	struct client_report report;
	json_t *object;

	if (index < page->first || index - page->first >= page->limit)
		return;
	object = json_object();
	client_report(client, builder->now_ns, &report);
	json_object_set_new(object, "peer", json_string(report.peer));
	json_object_set_new(object, "endpoint", json_string(report.endpoint));
	json_object_set_new(object, "stream", json_string(builder->stream));
	json_object_set_new(object, "state", json_string(report.state));
	json_object_set_new(object, "seconds", report_seconds(builder->now_ns - report.joined_ns));
	json_object_set_new(object, "sequence", report_number(report.sequence));
	json_object_set_new(object, "lag_bytes", report_number(report.lag_bytes));
	json_object_set_new(object, "lag_seconds", report_seconds(report.lag_ns));
	json_object_set_new(object, "sending", json_string(report.sending));
	json_object_set_new(object, "outstanding_sends", report_number(report.outstanding));
	json_object_set_new(object, "pinned_blocks", report_number(report.pinned_blocks));
	add_sent(object, &report.totals);
	json_array_append_new(builder->list, object);
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
	struct report_page all = { .limit = UINT64_MAX };
	struct client_list_builder builder = {
		.list = json_array(),
		.only = name,
		.page = page ? page : &all,
		.now_ns = clock_monotonic_ns(),
	};

	builder.page->total = 0;
	if (builder.list)
		streams_each(streams, append_clients, &builder);
	return builder.list;
}
