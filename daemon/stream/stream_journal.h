/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines about clients of a stream that join and leave. Peers cause these as often as they like, so
 * only a burst of each is logged; the others are counted, and a summary follows within a second.
 */
#ifndef DMACAST_STREAM_JOURNAL_H
#define DMACAST_STREAM_JOURNAL_H

#include "lib/log.h"
#include "lib/settings.h"
#include "stream/client.h"

#include <event2/event_struct.h>
#include <stdint.h>

struct event_base;
struct state;

/* Lines in LOG_LIMIT_INTERVAL_NS. */
#define STREAM_JOURNAL_BURST 100

struct stream_journal {
	const struct stream_settings *settings;
	struct log_limit join_limit, leave_limit;
	/* Clients without a line since the last summary. */
	uint64_t joined, left;
	struct client_totals left_totals;
	struct event summary_timer;
};

/** stream_journal_init() - @settings: must outlive @journal, which must not move */
void stream_journal_init(struct stream_journal *journal, struct event_base *base,
			 const struct stream_settings *settings);

/** stream_journal_joined() - log and report a client that joined. @count: clients of the stream now */
void stream_journal_joined(struct stream_journal *journal, const struct client *client,
			   uint64_t count);

/** stream_journal_left() - log and report a client that is gone. @count: clients of the stream without it */
void stream_journal_left(struct stream_journal *journal, struct client *client, uint64_t count);

/** stream_journal_transfer() - save or restore the object "journal"; see state.h. @journal: restoring: just initialized */
void stream_journal_transfer(struct stream_journal *journal, struct state *state);

/** stream_journal_flush() - log the summary of clients without a line now, and stop the timer. */
void stream_journal_flush(struct stream_journal *journal);

#endif
