// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_outbox.h"

#include "ctl/cat_report.h"
#include "ctl/cat_signals.h"
#include "lib/clock.h"
#include "nats/nats_ack.h"
#include "nats/nats_trouble.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Small messages cost the server more than their bytes. */
#define MAX_MESSAGES 4096

/* Time for an acknowledgement; a cluster chooses a leader within it. */
#define ACK_NS (10 * NS_PER_S)
/* Pause before the stream is read again; doubled up to the maximum as long as nothing is stored. */
#define MIN_PAUSE_NS (100 * NS_PER_MS)
#define MAX_PAUSE_NS (2 * NS_PER_S)

enum outbox_state { OUTBOX_SYNC, OUTBOX_RUN };

struct outbox_entry {
	TAILQ_ENTRY(outbox_entry) link;
	uint64_t serial, attempt; /* of the reply in @msg */
	natsMsg *msg;
	struct nats_message message;
	size_t length; /* of the payload */
	char id[NATS_HEADER_BYTES];
	bool sent, stored;
	uint64_t expected; /* sequence of the message before; if it is sent */
	uint64_t sent_ns;  /* monotonic */
};

struct nats_outbox {
	const struct nats_stream *stream;
	const char *source;
	uint64_t limit;
	struct cat_report *report;
	struct nats_acks *acks;

	enum outbox_state state;
	TAILQ_HEAD(outbox_list, outbox_entry) entries;
	struct outbox_entry *unsent; /* first one that is not sent; NULL: none */
	uint64_t serial;
	uint64_t attempt;  /* number of syncs, and thereby of the connection */
	uint64_t expected; /* sequence of the last message that is stored or sent */
	uint64_t stored;   /* sequence of the last one that is stored */

	uint64_t generation; /* of the server, as known here */
	uint64_t sync_ns, pause_ns;
	bool synced; /* at least once */
	struct nats_last last;

	struct nats_trouble trouble;
	char fatal[NATS_SERVER_ERROR];
	struct nats_outbox_stats stats;
};

struct nats_outbox *nats_outbox_create(const struct nats_stream *stream, const char *source,
				       uint64_t limit, struct cat_report *report,
				       char error[NATS_SERVER_ERROR])
{
	struct nats_outbox *outbox = calloc(1, sizeof(*outbox));

	if (!outbox) {
		snprintf(error, NATS_SERVER_ERROR, "no memory");
		return NULL;
	}
	outbox->stream = stream;
	outbox->source = source;
	outbox->limit = limit;
	outbox->report = report;
	outbox->pause_ns = MIN_PAUSE_NS;
	outbox->generation = nats_server_generation(stream->server);
	TAILQ_INIT(&outbox->entries);
	outbox->acks = nats_acks_create(stream->server, error);
	if (outbox->acks)
		return outbox;
	free(outbox);
	return NULL;
}

/* ---- trouble ---- */

/* Read the stream again, after a pause. @text: NULL: nothing to report */
static void outbox_resync(struct nats_outbox *outbox, const char *text)
{
	uint64_t now_ns = clock_monotonic_ns();

	if (outbox->state == OUTBOX_RUN)
		outbox->stats.syncs++;
	outbox->state = OUTBOX_SYNC;
	outbox->sync_ns = now_ns + outbox->pause_ns;
	outbox->pause_ns =
		outbox->pause_ns * 2 < MAX_PAUSE_NS ? outbox->pause_ns * 2 : MAX_PAUSE_NS;
	if (text)
		nats_trouble_report(&outbox->trouble, outbox->report, text, now_ns);
}

static void outbox_note_progress(struct nats_outbox *outbox)
{
	outbox->pause_ns = MIN_PAUSE_NS;
	nats_trouble_end(&outbox->trouble);
}

/* ---- entries ---- */

static void outbox_remove(struct nats_outbox *outbox, struct outbox_entry *entry)
{
	if (outbox->unsent == entry)
		outbox->unsent = TAILQ_NEXT(entry, link);
	TAILQ_REMOVE(&outbox->entries, entry, link);
	outbox->stats.pending--;
	outbox->stats.pending_bytes -= entry->length;
	natsMsg_Destroy(entry->msg);
	free(entry);
}

/* Remove an entry that is stored. */
static void outbox_finish(struct nats_outbox *outbox, struct outbox_entry *entry)
{
	outbox->stats.messages++;
	outbox->stats.bytes += entry->length;
	outbox_remove(outbox, entry);
}

/* Remove all up to @end, which are stored. */
static void outbox_finish_through(struct nats_outbox *outbox, const struct outbox_entry *end)
{
	const struct outbox_entry *entry;

	do {
		entry = TAILQ_FIRST(&outbox->entries);
		outbox_finish(outbox, TAILQ_FIRST(&outbox->entries));
	} while (entry != end);
	outbox_note_progress(outbox);
}

static bool outbox_encode(const struct nats_outbox *outbox, struct outbox_entry *entry)
{
	struct nats_header headers[NATS_HEADERS];
	size_t count = nats_message_encode(&entry->message, outbox->source, headers);

	strlcpy(entry->id, headers[0].value, sizeof(entry->id));
	for (size_t i = 0; i < count; i++) {
		if (natsMsgHeader_Set(entry->msg, headers[i].name, headers[i].value) != NATS_OK)
			return false;
	}
	return true;
}

/* Make the message of this attempt: the library does not let the reply be changed. */
static bool outbox_make(const struct nats_outbox *outbox, struct outbox_entry *entry,
			const char *subject, const void *payload)
{
	char reply[NATS_REPLY_BYTES];
	natsMsg *former = entry->msg;

	entry->msg = NULL;
	entry->attempt = outbox->attempt;
	nats_acks_reply(outbox->acks, entry->attempt, entry->serial, reply);
	if (natsMsg_Create(&entry->msg, subject, reply, payload, (int)entry->length) != NATS_OK) {
		entry->msg = former;
		return false;
	}
	natsMsg_Destroy(former);
	return outbox_encode(outbox, entry);
}

static struct outbox_entry *outbox_new(struct nats_outbox *outbox, const char *subject,
				       const struct nats_message *message, const void *payload,
				       size_t length)
{
	struct outbox_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->serial = ++outbox->serial;
	entry->message = *message;
	entry->length = length;
	if (!outbox_make(outbox, entry, subject, payload)) {
		natsMsg_Destroy(entry->msg);
		free(entry);
		return NULL;
	}
	outbox->stats.pending++;
	outbox->stats.pending_bytes += length;
	return entry;
}

bool nats_outbox_add(struct nats_outbox *outbox, const char *subject,
		     const struct nats_message *message, const void *payload, size_t length)
{
	struct outbox_entry *entry = outbox_new(outbox, subject, message, payload, length);

	if (!entry)
		return false;
	TAILQ_INSERT_TAIL(&outbox->entries, entry, link);
	if (!outbox->unsent)
		outbox->unsent = entry;
	return true;
}

bool nats_outbox_is_full(const struct nats_outbox *outbox)
{
	return outbox->stats.pending_bytes >= outbox->limit ||
	       outbox->stats.pending >= MAX_MESSAGES;
}

/* ---- publishing ---- */

static natsStatus outbox_send(struct nats_outbox *outbox, struct outbox_entry *entry)
{
	char expected[24];
	natsStatus status = NATS_OK;

	if (entry->attempt != outbox->attempt &&
	    !outbox_make(outbox, entry, natsMsg_GetSubject(entry->msg),
			 natsMsg_GetData(entry->msg)))
		return NATS_NO_MEMORY;
	snprintf(expected, sizeof(expected), "%" PRIu64, outbox->expected);
	status = natsMsgHeader_Set(entry->msg, "Nats-Expected-Last-Sequence", expected);
	if (status == NATS_OK)
		status =
			natsMsgHeader_Set(entry->msg, "Nats-Expected-Stream", outbox->stream->name);
	/* This waits while the server takes nothing; a second signal ends the program even then. */
	cat_signals_allow(true);
	if (status == NATS_OK)
		status = natsConnection_PublishMsg(nats_server_connection(outbox->stream->server),
						   entry->msg);
	cat_signals_allow(false);
	return status;
}

static void outbox_explain_send(struct nats_outbox *outbox, natsStatus status)
{
	char text[NATS_SERVER_ERROR];

	nats_server_reason(status, 0, text);
	if (status == NATS_MAX_PAYLOAD)
		snprintf(outbox->fatal, sizeof(outbox->fatal),
			 "the server accepts smaller messages than before; start again, so that "
			 "blocks are cut accordingly");
	/* A connection that is gone was, or will be, reported as such. */
	outbox_resync(outbox, nats_server_is_connected(outbox->stream->server) ? text : NULL);
}

static void outbox_send_all(struct nats_outbox *outbox)
{
	while (outbox->unsent && outbox->state == OUTBOX_RUN) {
		struct outbox_entry *entry = outbox->unsent;
		natsStatus status = outbox_send(outbox, entry);

		if (status != NATS_OK) {
			outbox_explain_send(outbox, status);
			return;
		}
		entry->sent = true;
		entry->sent_ns = clock_monotonic_ns();
		entry->expected = outbox->expected++;
		outbox->unsent = TAILQ_NEXT(entry, link);
	}
}

/* ---- acknowledgements ---- */

/* They come in the order of the messages, or nearly. */
static struct outbox_entry *outbox_find(struct nats_outbox *outbox, uint64_t serial)
{
	struct outbox_entry *entry;

	TAILQ_FOREACH (entry, &outbox->entries, link) {
		if (entry->serial == serial)
			return entry;
		if (entry->serial > serial)
			break;
	}
	return NULL;
}

static void outbox_take_stored(struct nats_outbox *outbox, struct outbox_entry *entry,
			       const struct nats_ack *ack)
{
	if (ack->duplicate)
		outbox->stats.duplicates++;
	if (ack->sequence == entry->expected + 1) {
		outbox->stored = ack->sequence;
		outbox_finish_through(outbox, entry);
		return;
	}
	/* It was stored earlier than what is the last message now, so the others have wrong expectations. */
	entry->stored = ack->duplicate;
	outbox_resync(outbox, ack->duplicate ? NULL : "the server has stored a message elsewhere");
}

static void outbox_take_ack(struct nats_outbox *outbox, const struct nats_ack *ack)
{
	struct outbox_entry *entry = outbox_find(outbox, ack->serial);
	char text[NATS_SERVER_ERROR];

	if (!entry || !entry->sent || ack->attempt != outbox->attempt)
		return;
	if (ack->stored) {
		outbox_take_stored(outbox, entry, ack);
	} else if (outbox->state == OUTBOX_RUN) {
		snprintf(text, sizeof(text), "message %s is not stored: %s (%d)", entry->id,
			 ack->text, ack->code);
		outbox_resync(outbox, text);
	}
}

static void outbox_take_acks(struct nats_outbox *outbox)
{
	struct nats_ack ack;

	while (nats_acks_take(outbox->acks, &ack))
		outbox_take_ack(outbox, &ack);
}

/* Return: monotonic time when the oldest message has to be acknowledged. */
static uint64_t outbox_deadline(const struct nats_outbox *outbox)
{
	const struct outbox_entry *first = TAILQ_FIRST(&outbox->entries);

	return first && first->sent ? first->sent_ns + ACK_NS : CAT_NEVER;
}

/* ---- reading the stream ---- */

/* Return the last entry that is stored by what the stream has last; NULL: none. */
static struct outbox_entry *outbox_last_stored(struct nats_outbox *outbox)
{
	const struct nats_last *last = &outbox->last;
	struct outbox_entry *entry, *found = NULL;
	uint64_t count = last->sequence - outbox->stored;

	TAILQ_FOREACH (entry, &outbox->entries, link) {
		if (!last->known) {
			/* Too old to be read; but then, only we can have stored it. */
			if (last->sequence <= outbox->stored || !count-- || !entry->sent)
				break;
			found = entry;
		} else if (!strcmp(entry->id, last->id) ||
			   nats_message_covers(&last->message, last->length, &entry->message,
					       entry->length)) {
			found = entry;
		}
	}
	return found;
}

static struct outbox_entry *outbox_first_block(struct nats_outbox *outbox)
{
	struct outbox_entry *entry;

	TAILQ_FOREACH (entry, &outbox->entries, link) {
		if (!nats_message_is_event(&entry->message))
			return entry;
	}
	return NULL;
}

/* Say in the headers of the next block what the server has lost before it. */
static void outbox_mark_loss(struct nats_outbox *outbox, struct outbox_entry *next,
			     const struct frame *stored)
{
	struct nats_message *message = &next->message;
	uint64_t sequence = stored->sequence + 1, end = stored->position + stored->length;
	bool counted = outbox->last.message.count == message->count &&
		       message->frame.sequence > sequence && message->frame.position > end;
	char text[NATS_SERVER_ERROR];

	message->gap_blocks +=
		counted ? message->frame.sequence - sequence - message->gap_blocks : 0;
	message->gap_bytes += counted ? message->frame.position - end - message->gap_bytes : 0;
	outbox_encode(outbox, next);
	outbox->stats.lost_messages += outbox->stored - outbox->last.sequence;
	snprintf(text, sizeof(text),
		 "the server has lost messages that it had acknowledged: it has %" PRIu64
		 " of %" PRIu64 " messages; %" PRIu64 " blocks with %" PRIu64
		 " bytes are missing before %08" PRIx32 ":%" PRIu64,
		 outbox->last.sequence, outbox->stored, message->gap_blocks, message->gap_bytes,
		 message->frame.epoch, message->frame.sequence);
	cat_report_notice(outbox->report, "server-loss", text);
}

static void outbox_check_loss(struct nats_outbox *outbox)
{
	struct outbox_entry *next = outbox_first_block(outbox);
	struct frame stored = { 0 };

	if (outbox->last.sequence >= outbox->stored || !next || !next->message.after.exists)
		return;
	if (outbox->last.known)
		nats_message_last_block(&outbox->last.message, outbox->last.length, &stored);
	if (next->message.after.name.epoch != stored.epoch ||
	    next->message.after.name.sequence != stored.sequence)
		outbox_mark_loss(outbox, next, &stored);
}

/* Publish everything again that is not stored. */
static void outbox_rewind(struct nats_outbox *outbox)
{
	struct outbox_entry *entry, *next;

	TAILQ_FOREACH_SAFE (entry, &outbox->entries, link, next) {
		entry->sent = false;
		if (entry->stored)
			outbox_finish(outbox, entry);
	}
	outbox->unsent = TAILQ_FIRST(&outbox->entries);
	outbox->expected = outbox->stored = outbox->last.sequence;
	outbox->attempt++;
	outbox->synced = true;
	outbox->state = OUTBOX_RUN;
}

static void outbox_read_failed(struct nats_outbox *outbox, const char *reason)
{
	char error[NATS_SERVER_ERROR], text[2 * NATS_SERVER_ERROR];

	snprintf(text, sizeof(text), "the stream %s cannot be read: %s", outbox->stream->name,
		 reason);
	/* A server without its memory has no stream in memory any more. */
	if (nats_server_is_connected(outbox->stream->server) &&
	    nats_stream_prepare(outbox->stream, error) == NATS_SERVER_FATAL)
		strlcpy(outbox->fatal, error, sizeof(outbox->fatal));
	text[NATS_SERVER_ERROR - 1] = '\0';
	outbox_resync(outbox, text);
}

/* Create or check the stream at the first time. */
static bool outbox_prepare(struct nats_outbox *outbox)
{
	char error[NATS_SERVER_ERROR];
	enum nats_server_result result = nats_stream_prepare(outbox->stream, error);

	if (result == NATS_SERVER_FATAL)
		strlcpy(outbox->fatal, error, sizeof(outbox->fatal));
	else if (result == NATS_SERVER_RETRY)
		outbox_resync(outbox, error);
	return result == NATS_SERVER_OK;
}

static void outbox_sync(struct nats_outbox *outbox)
{
	struct outbox_entry *stored;
	char error[NATS_SERVER_ERROR];

	if (!outbox->synced && !outbox_prepare(outbox))
		return;
	if (!nats_stream_last(outbox->stream, &outbox->last, error)) {
		outbox_read_failed(outbox, error);
		return;
	}
	stored = outbox_last_stored(outbox);
	if (stored)
		outbox_finish_through(outbox, stored);
	else
		outbox_check_loss(outbox);
	outbox_rewind(outbox);
}

/* ---- the outside ---- */

static void outbox_check_connection(struct nats_outbox *outbox)
{
	struct nats_server *server = outbox->stream->server;
	uint64_t generation = nats_server_generation(server);
	char url[NATS_SERVER_ERROR], text[2 * NATS_SERVER_ERROR];

	if (generation == outbox->generation)
		return;
	outbox->generation = generation;
	if (nats_server_is_closed(server))
		snprintf(outbox->fatal, sizeof(outbox->fatal),
			 "the connection to NATS is closed: the server refuses this client");
	outbox_resync(outbox,
		      nats_server_is_connected(server) ? NULL : "the connection to NATS is lost");
	if (!nats_server_is_connected(server))
		return;
	snprintf(text, sizeof(text), "connected to %s", nats_server_url(server, url));
	cat_report_notice(outbox->report, "server", text);
	nats_trouble_end(&outbox->trouble);
	outbox->sync_ns = 0;
}

uint64_t nats_outbox_advance(struct nats_outbox *outbox)
{
	outbox_check_connection(outbox);
	outbox_take_acks(outbox);
	if (outbox->state == OUTBOX_RUN && clock_monotonic_ns() >= outbox_deadline(outbox))
		outbox_resync(outbox, "the server has not acknowledged a message in 10 s");
	if (!nats_server_is_connected(outbox->stream->server))
		return CAT_NEVER;
	if (outbox->state == OUTBOX_SYNC && clock_monotonic_ns() >= outbox->sync_ns)
		outbox_sync(outbox);
	outbox_send_all(outbox);
	return outbox->state == OUTBOX_SYNC ? outbox->sync_ns : outbox_deadline(outbox);
}

const struct nats_last *nats_outbox_last(const struct nats_outbox *outbox)
{
	return outbox->synced ? &outbox->last : NULL;
}

const char *nats_outbox_error(const struct nats_outbox *outbox)
{
	return outbox->fatal[0] ? outbox->fatal : NULL;
}

const struct nats_outbox_stats *nats_outbox_stats(const struct nats_outbox *outbox)
{
	return &outbox->stats;
}

void nats_outbox_stop(struct nats_outbox *outbox)
{
	if (outbox)
		nats_acks_stop(outbox->acks);
}

void nats_outbox_free(struct nats_outbox *outbox)
{
	if (!outbox)
		return;
	while (!TAILQ_EMPTY(&outbox->entries))
		outbox_remove(outbox, TAILQ_FIRST(&outbox->entries));
	nats_acks_free(outbox->acks);
	free(outbox);
}
