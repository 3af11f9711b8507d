// SPDX-License-Identifier: BSD-2-Clause
#include "lib/stats.h"

#include "lib/state.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *word, *text;
} reasons[LEAVE_REASONS] = {
	[LEAVE_END_OF_STREAM] = { "end_of_stream", "end of stream" },
	[LEAVE_RESET_BY_PEER] = { "reset_by_peer", "reset by peer" },
	[LEAVE_TIMED_OUT] = { "timed_out", "timed out" },
	[LEAVE_TOO_SLOW] = { "too_slow", "too slow" },
	[LEAVE_HALF_CLOSED] = { "half_closed", "half-closed by the peer" },
	[LEAVE_ANSWERED] = { "answered", "answered" },
	[LEAVE_REFUSED] = { "request_refused", "request refused" },
	[LEAVE_BY_OPERATOR] = { "by_operator", "by the operator" },
	[LEAVE_STOPPING] = { "stopping", "stopping" },
	[LEAVE_DEVICE_GONE] = { "device_gone", "device gone again" },
	[LEAVE_ERROR] = { "error", "error" },
};

const char *leave_reason_word(enum leave_reason reason)
{
	return reasons[reason].word;
}

const char *leave_reason_text(enum leave_reason reason)
{
	return reasons[reason].text;
}

static const struct {
	const char *word, *text;
} refusals[REFUSE_REASONS] = {
	[REFUSE_MAX_CLIENTS] = { "max_clients", "max-clients is reached" },
	[REFUSE_MAX_PER_ADDRESS] = { "max_clients_per_address",
				     "max-clients-per-address is reached" },
	[REFUSE_NO_DESCRIPTOR] = { "no_descriptor",
				   "the last descriptors are kept back for sources and operators; "
				   "raise the limit of open files (LimitNOFILE=)" },
	[REFUSE_NO_MEMORY] = { "no_memory", "no memory" },
	[REFUSE_DENIED] = { "denied", "its address is denied" },
	[REFUSE_CONNECT_RATE] = { "connect_rate", "connect-rate is reached" },
};

const char *refuse_reason_word(enum refuse_reason reason)
{
	return refusals[reason].word;
}

const char *refuse_reason_text(enum refuse_reason reason)
{
	return refusals[reason].text;
}

void client_totals_add(struct client_totals *totals, const struct client_stats *stats,
		       const struct zerocopy_stats *sends)
{
	totals->stats.sent_bytes += stats->sent_bytes;
	totals->stats.dropped_bytes += stats->dropped_bytes;
	totals->stats.drops += stats->drops;
	totals->stats.received_bytes += stats->received_bytes;
	totals->sends.zerocopy_sends += sends->zerocopy_sends;
	totals->sends.copied_sends += sends->copied_sends;
	totals->sends.completed += sends->completed;
	totals->sends.completed_copied += sends->completed_copied;
	totals->sends.no_buffer += sends->no_buffer;
	totals->sends.foreign_completions += sends->foreign_completions;
	totals->sends.truncated += sends->truncated;
}

void client_totals_join(struct client_totals *totals, const struct client_totals *others)
{
	client_totals_add(totals, &others->stats, &others->sends);
}

struct endpoint_stats *stream_stats_endpoint(struct stream_stats *stats, const char *name)
{
	struct endpoint_stats *last = &stats->own;

	if (!name)
		return last;
	for (; last->next; last = last->next) {
		if (!strcmp(last->next->name, name))
			return last->next;
	}
	last->next = calloc(1, sizeof(*last->next));
	if (last->next && !(last->next->name = strdup(name))) {
		free(last->next);
		last->next = NULL;
	}
	return last->next;
}

void stream_stats_clear(struct stream_stats *stats)
{
	while (stats->own.next) {
		struct endpoint_stats *first = stats->own.next;

		stats->own.next = first->next;
		free(first->name);
		free(first);
	}
}

/* ---- handover ---- */

/* Upper bound for the sections that a stream has ever had. */
#define MAX_ENDPOINT_STATS 100000U

void client_stats_transfer(struct client_stats *stats, struct state *state, const char *name)
{
	state_enter(state, name);
	state_u64(state, "sent_bytes", &stats->sent_bytes);
	state_u64(state, "dropped_bytes", &stats->dropped_bytes);
	state_u64(state, "drops", &stats->drops);
	state_u64(state, "received_bytes", &stats->received_bytes);
	state_leave(state);
}

void zerocopy_stats_transfer(struct zerocopy_stats *stats, struct state *state, const char *name)
{
	state_enter(state, name);
	state_u64(state, "zerocopy_sends", &stats->zerocopy_sends);
	state_u64(state, "copied_sends", &stats->copied_sends);
	state_u64(state, "completed", &stats->completed);
	state_u64(state, "completed_copied", &stats->completed_copied);
	state_u64(state, "no_buffer", &stats->no_buffer);
	state_u64(state, "foreign_completions", &stats->foreign_completions);
	state_u64(state, "truncated", &stats->truncated);
	state_leave(state);
}

void client_totals_transfer(struct client_totals *totals, struct state *state, const char *name)
{
	state_enter(state, name);
	client_stats_transfer(&totals->stats, state, "stats");
	zerocopy_stats_transfer(&totals->sends, state, "sends");
	state_leave(state);
}

static void latency_transfer(struct latency *latency, struct state *state)
{
	state_enter(state, "latency");
	histogram_transfer(&latency->to_send, state, "to_send");
	histogram_transfer(&latency->to_acknowledged, state, "to_acknowledged");
	state_leave(state);
}

static void sent_counter_transfer(struct sent_counter *sent, struct state *state)
{
	state_enter(state, "sent");
	state_u64(state, "bytes", &sent->bytes);
	rate_transfer(&sent->rate, state, "rate");
	state_leave(state);
}

static void input_stats_transfer(struct input_stats *input, struct state *state)
{
	state_enter(state, "input");
	state_u64(state, "forwarded_bytes", &input->forwarded_bytes);
	state_u64(state, "discarded_bytes", &input->discarded_bytes);
	state_leave(state);
}

/* What the source filled. */
static void stream_stats_transfer_source(struct stream_stats *stats, struct state *state)
{
	state_u64(state, "blocks", &stats->blocks);
	state_u64(state, "bytes", &stats->bytes);
	rate_transfer(&stats->rate, state, "rate");
	state_u64(state, "lost_blocks", &stats->lost_blocks);
	state_u64(state, "losses", &stats->losses);
	state_u64(state, "broken_records", &stats->broken_records);
	state_u64(state, "waits", &stats->waits);
	state_u64(state, "source_starts", &stats->source_starts);
	state_u64(state, "source_restarts", &stats->source_restarts);
	state_u64(state, "origin_switches", &stats->origin_switches);
	state_u64(state, "last_block_ns", &stats->last_block_ns);
}

/*
 * The counters for each reason, by their words: another version may have more of them.
 * @word: of each reason
 */
static void stats_transfer_reasons(struct state *state, const char *name, uint64_t *count,
				   int words, const char *(*word)(int reason))
{
	state_enter(state, name);
	for (int i = 0; i < words; i++) {
		if (state_is_saving(state) || state_has(state, word(i)))
			state_u64(state, word(i), &count[i]);
	}
	state_leave(state);
}

static const char *stats_refuse_word(int reason)
{
	return refuse_reason_word((enum refuse_reason)reason);
}

static const char *stats_leave_word(int reason)
{
	return leave_reason_word((enum leave_reason)reason);
}

/* Return the counters of the section with this name; NULL after a failure. */
static struct endpoint_stats *stats_restore_endpoint(struct stream_stats *stats,
						     struct state *state)
{
	struct endpoint_stats *endpoint;
	char *name = NULL;

	state_string_copy(state, "name", &name);
	if (state_failed(state))
		return NULL;
	endpoint = stream_stats_endpoint(stats, name);
	free(name);
	if (!endpoint)
		state_fail(state, "no memory");
	return endpoint;
}

/* @endpoint: NULL after a failure */
static void endpoint_stats_transfer(struct endpoint_stats *endpoint, struct state *state)
{
	if (!endpoint)
		return;
	state_u64(state, "joined", &endpoint->joined);
	state_u64(state, "refused", &endpoint->refused);
}

static void stats_save_endpoints(struct stream_stats *stats, struct state *state)
{
	for (struct endpoint_stats *next = &stats->own; next; next = next->next) {
		state_item(state);
		state_string_copy(state, "name", &next->name);
		endpoint_stats_transfer(next, state);
		state_leave(state);
	}
	state_list_end(state);
}

static void stats_transfer_endpoints(struct stream_stats *stats, struct state *state)
{
	state_list(state, "endpoints", MAX_ENDPOINT_STATS);
	if (state_is_saving(state)) {
		stats_save_endpoints(stats, state);
		return;
	}
	while (state_next_item(state))
		endpoint_stats_transfer(stats_restore_endpoint(stats, state), state);
}

void stream_stats_transfer(struct stream_stats *stats, struct state *state, const char *name)
{
	state_enter(state, name);
	stream_stats_transfer_source(stats, state);
	latency_transfer(&stats->latency, state);
	sent_counter_transfer(&stats->sent, state);
	input_stats_transfer(&stats->input, state);
	state_u64(state, "joined", &stats->joined);
	state_u64(state, "refused", &stats->refused);
	stats_transfer_reasons(state, "refused_for", stats->refused_for, REFUSE_REASONS,
			       stats_refuse_word);
	stats_transfer_reasons(state, "left_for", stats->left_for, LEAVE_REASONS, stats_leave_word);
	state_numbers(state, "http_answers", stats->http_answers, HTTP_CODES);
	client_totals_transfer(&stats->left, state, "left");
	stats_transfer_endpoints(stats, state);
	state_leave(state);
}
