// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_journal.h"

#include "lib/clock.h"
#include "lib/state.h"
#include "stream/stream_events.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#define PREFIX_TEXT 512

static const struct timeval summary_delay = { .tv_sec = 1 };

static void journal_summary_due(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	stream_journal_flush(argument);
}

void stream_journal_init(struct stream_journal *journal, struct event_base *base,
			 const struct stream_settings *settings)
{
	*journal = (struct stream_journal){
		.settings = settings,
		.join_limit.burst = STREAM_JOURNAL_BURST,
		.leave_limit.burst = STREAM_JOURNAL_BURST,
	};
	evtimer_assign(&journal->summary_timer, base, journal_summary_due, journal);
}

/* Without memory for the timer the summary comes with a later one, or at the end. */
static void journal_await_summary(struct stream_journal *journal)
{
	if (!evtimer_pending(&journal->summary_timer, NULL))
		evtimer_add(&journal->summary_timer, &summary_delay);
}

/* Return true if a line may be logged; else a summary will be. */
static bool journal_pass(struct stream_journal *journal, struct log_limit *limit)
{
	unsigned int suppressed;

	if (log_limit_pass(limit, clock_monotonic_ns(), &suppressed))
		return true;
	journal_await_summary(journal);
	return false;
}

void stream_journal_joined(struct stream_journal *journal, const struct client *client,
			   uint64_t count)
{
	stream_events_joined(client, count);
	if (journal_pass(journal, &journal->join_limit))
		log_info("stream %s: client %s joined, %" PRIu64 " now", client->group->stream_name,
			 client->peer_text, count);
	else
		journal->joined++;
}

/* @prefix: up to what the clients were sent */
static void journal_log_totals(const char *prefix, const struct client_totals *totals)
{
	const struct zerocopy_stats *sends = &totals->sends;

	log_info("%s, dropped %" PRIu64 " bytes; sends: %" PRIu64 " zero-copy (%" PRIu64
		 " copied by the kernel), %" PRIu64 " copied (%" PRIu64 " after ENOBUFS)",
		 prefix, totals->stats.dropped_bytes, sends->zerocopy_sends,
		 sends->completed_copied, sends->copied_sends, sends->no_buffer);
}

static void journal_log_left(const struct client *client, const struct client_totals *totals)
{
	uint64_t milliseconds = (clock_monotonic_ns() - client->joined_ns) / 1000000;
	char prefix[PREFIX_TEXT];

	snprintf(prefix, sizeof(prefix),
		 "stream %s: client %s left: %s; sent %" PRIu64 " bytes in %" PRIu64 ".%03" PRIu64
		 " s",
		 client->group->stream_name, client->peer_text, client->reason,
		 totals->stats.sent_bytes, milliseconds / 1000, milliseconds % 1000);
	journal_log_totals(prefix, totals);
}

void stream_journal_left(struct stream_journal *journal, struct client *client, uint64_t count)
{
	struct client_totals totals = { .stats = client->stats, .sends = client->zerocopy.stats };

	stream_events_left(client, count);
	if (journal_pass(journal, &journal->leave_limit)) {
		journal_log_left(client, &totals);
	} else {
		journal->left++;
		client_totals_join(&journal->left_totals, &totals);
	}
}

static void journal_log_more_left(const struct stream_journal *journal)
{
	char prefix[PREFIX_TEXT];

	snprintf(prefix, sizeof(prefix),
		 "stream %s: %" PRIu64 " more clients left in a short time; sent %" PRIu64 " bytes",
		 journal->settings->name, journal->left, journal->left_totals.stats.sent_bytes);
	journal_log_totals(prefix, &journal->left_totals);
}

void stream_journal_flush(struct stream_journal *journal)
{
	evtimer_del(&journal->summary_timer);
	if (journal->joined)
		log_info("stream %s: %" PRIu64 " more clients joined in a short time",
			 journal->settings->name, journal->joined);
	if (journal->left)
		journal_log_more_left(journal);
	journal->joined = 0;
	journal->left = 0;
	journal->left_totals = (struct client_totals){ 0 };
}

void stream_journal_transfer(struct stream_journal *journal, struct state *state)
{
	state_enter(state, "journal");
	log_limit_transfer(&journal->join_limit, state, "join_limit");
	log_limit_transfer(&journal->leave_limit, state, "leave_limit");
	state_u64(state, "joined", &journal->joined);
	state_u64(state, "left", &journal->left);
	client_totals_transfer(&journal->left_totals, state, "left_totals");
	state_leave(state);
	if (!state_is_saving(state) && (journal->joined || journal->left))
		journal_await_summary(journal);
}
