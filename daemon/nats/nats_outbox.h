/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages on their way into a JetStream stream, in order, each one exactly once.
 *
 *   SYNC ── the last message of the stream is read ──▶ RUN ── an error, no answer, a lost connection ──▶ SYNC
 *
 * RUN: each message is published at once and says with Nats-Expected-Last-Sequence which sequence the stream must
 * have then: that of the message before. The server itself refuses a message whose predecessor is missing, so an
 * acknowledgement is one for all messages before it, too.
 * SYNC: nothing is published. The last message says which messages are stored; these are dropped, and the others are
 * published again, with the same ids and new expectations. Replies to earlier attempts are left out.
 */
#ifndef DMACAST_NATS_OUTBOX_H
#define DMACAST_NATS_OUTBOX_H

#include "nats/nats_message.h"
#include "nats/nats_stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cat_report;
struct nats_outbox;

struct nats_outbox_stats {
	uint64_t messages, bytes;	 /* stored, with the payload */
	uint64_t pending, pending_bytes; /* not acknowledged */
	uint64_t duplicates;		 /* published again although they were stored */
	uint64_t syncs;			 /* after an error or a lost connection */
	uint64_t lost_messages;		 /* acknowledged, and missing in the stream later */
};

/**
 * nats_outbox_create() - return an empty outbox in SYNC. All arguments must outlive it.
 * @source: name of the stream of dmacastd, for ids
 * @limit: bytes that may be pending
 * @error: out: on failure, the reason
 */
struct nats_outbox *nats_outbox_create(const struct nats_stream *stream, const char *source,
				       uint64_t limit, struct cat_report *report,
				       char error[NATS_SERVER_ERROR]);

/**
 * nats_outbox_add() - append a message.
 * @subject: of the message
 *
 * Return: false without memory.
 */
bool nats_outbox_add(struct nats_outbox *outbox, const char *subject,
		     const struct nats_message *message, const void *payload, size_t length);

/** nats_outbox_is_full() - return true if nothing should be added now. */
bool nats_outbox_is_full(const struct nats_outbox *outbox);

/**
 * nats_outbox_advance() - publish, and take what the server has answered.
 *
 * Return: monotonic time of the next call; CAT_NEVER: only when the server wakes up.
 */
uint64_t nats_outbox_advance(struct nats_outbox *outbox);

/** nats_outbox_last() - return the last message that was read; NULL: none was read yet. */
const struct nats_last *nats_outbox_last(const struct nats_outbox *outbox);

/** nats_outbox_error() - return why nothing can be published any more; NULL: it can. */
const char *nats_outbox_error(const struct nats_outbox *outbox);

/** nats_outbox_stats() - return the counters. */
const struct nats_outbox_stats *nats_outbox_stats(const struct nats_outbox *outbox);

/** nats_outbox_stop() - take nothing more from the server. NULL is allowed. */
void nats_outbox_stop(struct nats_outbox *outbox);

/** nats_outbox_free() - free after nats_outbox_stop() and nats_server_close(); what is pending is lost. NULL is allowed. */
void nats_outbox_free(struct nats_outbox *outbox);

#endif
