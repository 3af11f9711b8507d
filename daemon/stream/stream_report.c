// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_report.h"

#include "config/option_table.h"
#include "lib/clock.h"
#include "ring/ring_memory.h"
#include "source/source.h"
#include "stream/stream_internal.h"

static void stream_report_retained(const struct stream *stream, struct stream_report *report,
				   uint64_t now)
{
	const struct window *window = stream->window;

	report->blocks_retained = window_retained(window, &report->retained_bytes);
	if (report->blocks_retained)
		report->retained_ns =
			block_capture_age(window_block_at(window, window_oldest(window)), now);
}

static void stream_report_ring(const struct stream *stream, struct stream_report *report)
{
	const struct ring *ring = stream->ring;

	report->block_size = ring_block_size(ring);
	report->blocks = ring_blocks(ring);
	report->blocks_free = ring_free_blocks(ring);
	report->blocks_window = window_length(stream->window);
	report->blocks_pinned = ring_pinned_only_blocks(ring);
	report->blocks_filling = report->blocks - report->blocks_free - report->blocks_window -
				 report->blocks_retained - report->blocks_pinned;
	report->memory = ring_memory_text(ring);
	report->has_kernel = ring_ask_kernel(ring, &report->kernel);
}

static void stream_report_source(const struct stream *stream, struct stream_report *report,
				 uint64_t now)
{
	enum source_state state = stream->state >= STREAM_ENDING ? SOURCE_ENDED : SOURCE_WAITING;
	uint64_t last_ns = stream->stats->last_block_ns;

	/* A part of a block that waits for the rest is newer than the last block. */
	if (stream->source && source_last_byte_ns(stream->source) > last_ns)
		last_ns = source_last_byte_ns(stream->source);
	if (stream->source && state != SOURCE_ENDED)
		state = source_state(stream->source, now);
	report->source_state = source_state_word(state);
	report->source_up = state == SOURCE_RUNNING || state == SOURCE_SILENT;
	report->has_source_byte = last_ns > 0;
	if (last_ns && now > last_ns)
		report->source_byte_age_ns = now - last_ns;
}

static void stream_report_endpoint(void *argument, const struct listener *listener)
{
	struct stream_report *report = argument;

	if (listener_waits_for(listener))
		report->endpoints_waiting++;
	else
		report->endpoints_listening++;
}

static void stream_report_add_client(struct stream_report *report, const struct client *client,
				     uint64_t now)
{
	struct client_lag lag = client_lag(client, now);

	client_totals_add(&report->present, &client->stats, &client->zerocopy.stats);
	report->outstanding_sends += zerocopy_outstanding(&client->zerocopy);
	report->copied_rest_bytes += window_copied_bytes(&client->cursor);
	if (lag.bytes > report->most_lag_bytes)
		report->most_lag_bytes = lag.bytes;
	if (lag.ns > report->most_lag_ns)
		report->most_lag_ns = lag.ns;
}

static void stream_report_clients(const struct stream *stream, struct stream_report *report,
				  uint64_t now)
{
	const struct section *section;
	const struct client *client;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		TAILQ_FOREACH (client, &section->crowd.clients, entry)
			stream_report_add_client(report, client, now);
	}
}

const char *stream_state_word(unsigned int state)
{
	static const char *const word[] = {
		[STREAM_WAITING] = "waiting", [STREAM_HOLDING] = "holding",
		[STREAM_IDLE] = "idle",	      [STREAM_RUNNING] = "running",
		[STREAM_ENDING] = "ending",   [STREAM_ENDED] = "ended",
	};

	return state < sizeof(word) / sizeof(word[0]) ? word[state] : NULL;
}

void stream_report(const struct stream *stream, struct stream_report *report)
{
	uint64_t now = clock_monotonic_ns();

	*report = (struct stream_report){
		.name = stream->settings->name,
		.state = stream_state_word(stream->state),
		.source = stream->source ? source_text(stream->source) : stream->settings->device,
		.memory = "",
		.head = window_head(stream->window),
		.bytes = window_bytes(stream->window),
		.clients = stream->clients,
		.socket_memory_limit = stream_memory_limit(&stream->memory),
		.socket_memory_granted = stream->memory.charged,
		.queued_input_bytes = stream_input_queued(&stream->input),
		.settings = stream->settings,
		.stream = stream,
		.stats = stream->stats,
	};
	stream_report_source(stream, report, now);
	stream_each_listener(stream, stream_report_endpoint, report);
	stream_report_retained(stream, report, now);
	if (stream->ring)
		stream_report_ring(stream, report);
	stream_report_clients(stream, report, now);
}

void stream_each_section_report(const struct stream *stream,
				void (*each)(void *argument, const struct section_report *report),
				void *argument)
{
	const struct section *section;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		struct section_report report = {
			.name = section->name,
			.listen = section->listen,
			.format = option_format_words[section->group.settings->format],
			.zerocopy = option_zerocopy_words[section->group.settings->zerocopy],
			.settings = section->group.settings,
			.clients = section->crowd.count,
			.stats = section->stats,
		};

		if (!section->removed)
			each(argument, &report);
	}
}

void stream_each_listener(const struct stream *stream,
			  void (*each)(void *argument, const struct listener *listener),
			  void *argument)
{
	const struct section *section;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		for (size_t i = 0; i < section->endpoints.count; i++)
			each(argument, section->endpoints.listener[i]);
	}
}

void stream_each_client(const struct stream *stream,
			void (*each)(void *argument, const struct client *client), void *argument)
{
	const struct section *section;
	const struct client *client;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		TAILQ_FOREACH (client, &section->crowd.clients, entry)
			each(argument, client);
	}
}
