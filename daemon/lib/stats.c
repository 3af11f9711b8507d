// SPDX-License-Identifier: BSD-2-Clause
#include "lib/stats.h"

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
