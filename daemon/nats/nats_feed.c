// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_feed.h"

#include "nats/nats_join.h"
#include "nats/nats_outbox.h"
#include "nats/nats_subject.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The metadata is repeated after this many blocks, so that a stream that keeps less than all has it. */
#define METADATA_BLOCKS 1024

struct nats_feed {
	struct nats_outbox *outbox;
	const char *subject;
	char events[NATS_SUBJECT_BYTES];
	size_t limit;
	json_t *metadata;
	uint32_t block_size;		/* by the metadata; 0: unknown */
	uint64_t blocks;		/* since the metadata was published */
	uint32_t count;			/* as in struct nats_message; 0: no block yet */
	struct frame last;		/* the last block; with an epoch of 0: none */
	bool new_count;			/* what was lost before the next block is unknown */
	uint64_t gap_blocks, gap_bytes; /* before the next block */
	struct {
		uint32_t epoch;
		uint64_t sequence;
		size_t bytes;
	} partial; /* a block whose begin is stored */
};

/* Behind the last message that is stored. */
static void feed_resume(struct nats_feed *feed, const struct nats_last *last)
{
	const struct nats_message *message = &last->message;

	if (!last->known)
		return;
	if (!nats_message_last_block(message, last->length, &feed->last))
		feed->last.epoch = 0;
	feed->count = message->count;
	if (nats_message_is_event(message) || feed->last.length)
		return;
	feed->partial.epoch = message->frame.epoch;
	feed->partial.sequence = message->frame.sequence;
	feed->partial.bytes = message->offset + last->length;
}

struct nats_feed *nats_feed_create(struct nats_outbox *outbox, const char *subject, size_t limit,
				   const struct nats_last *last)
{
	struct nats_feed *feed = calloc(1, sizeof(*feed));

	if (!feed)
		return NULL;
	feed->outbox = outbox;
	feed->subject = subject;
	nats_subject_events(subject, feed->events);
	feed->limit = limit;
	feed_resume(feed, last);
	return feed;
}

/* ---- messages ---- */

static struct nats_message feed_message(const struct nats_feed *feed, const struct frame *frame)
{
	struct nats_message message = {
		.frame = *frame,
		.count = feed->count ? feed->count : frame->epoch,
		.block_size = feed->block_size,
	};

	if (feed->last.epoch) {
		message.after.exists = true;
		message.after.name.epoch = feed->last.epoch;
		message.after.name.sequence = feed->last.sequence;
		message.after.end = feed->last.position + feed->last.length;
	}
	return message;
}

/* Publish a payload from @offset on, in as many messages as it takes. */
static bool feed_publish(struct nats_feed *feed, const char *subject, struct nats_message *message,
			 const unsigned char *bytes, size_t offset)
{
	size_t length = message->frame.length, piece;

	do {
		piece = nats_join_piece(length, offset, feed->limit);
		message->offset = (uint32_t)offset;
		if (!nats_outbox_add(feed->outbox, subject, message, bytes + offset, piece))
			return false;
		offset += piece;
	} while (offset < length);
	return true;
}

static bool feed_publish_event(struct nats_feed *feed, const char *event, const struct frame *frame,
			       const void *bytes, size_t length)
{
	struct nats_message message = feed_message(feed, frame);

	strlcpy(message.event, event, sizeof(message.event));
	arc4random_buf(&message.event_id, sizeof(message.event_id));
	message.frame.length = (uint32_t)length;
	message.frame.flags &= (uint16_t)~FRAME_LOSS;
	return feed_publish(feed, feed->events, &message, bytes, 0);
}

/* @members: taken over; NULL is allowed. Each event has the metadata, too: one that begins here needs it. */
static bool feed_publish_json(struct nats_feed *feed, const char *event, const struct frame *frame,
			      json_t *members)
{
	json_t *body = json_pack("{s:s, s:O*}", "event", event, "metadata", feed->metadata);
	char *text = NULL;
	bool done;

	if (body && members)
		json_object_update(body, members);
	json_decref(members);
	if (body)
		text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	done = text && feed_publish_event(feed, event, frame, text, strlen(text));
	free(text);
	return done;
}

/* ---- the sink ---- */

static bool feed_publish_metadata(struct nats_feed *feed, const struct frame *frame)
{
	feed->blocks = 0;
	return feed_publish_json(feed, "metadata", frame, NULL);
}

static bool feed_take_metadata(void *data, const struct frame *frame, json_t *metadata)
{
	struct nats_feed *feed = data;
	json_int_t size = json_integer_value(json_object_get(metadata, "block_size"));

	if (feed->metadata && json_equal(feed->metadata, metadata))
		return true;
	json_decref(feed->metadata);
	feed->metadata = json_incref(metadata);
	feed->block_size = size > 0 && size <= UINT32_MAX ? (uint32_t)size : 0;
	return feed_publish_metadata(feed, frame);
}

static void feed_take_gap(void *data, const struct cat_gap *gap, const struct frame *frame)
{
	struct nats_feed *feed = data;
	json_t *members = json_pack("{s:s}", "origin", cat_gap_name(gap->origin));

	if (gap->origin == CAT_GAP_CLIENT) {
		feed->gap_blocks += gap->blocks;
		feed->gap_bytes += gap->bytes;
	}
	if (gap->origin == CAT_GAP_UNKNOWN) {
		feed->new_count = true;
	} else if (members) {
		json_object_set_new(members, "blocks", json_integer((json_int_t)gap->blocks));
		json_object_set_new(members, "bytes", json_integer((json_int_t)gap->bytes));
	}
	/* Without memory the event is missing; the headers of the next block have the gap. */
	feed_publish_json(feed, "gap", frame, members);
}

/* A preamble is an event with its own bytes. The last event always has the metadata. */
static bool feed_take_preamble(struct nats_feed *feed, const struct frame *frame,
			       const unsigned char *bytes, size_t length)
{
	return feed_publish_event(feed, "preamble", frame, bytes, length) &&
	       feed_publish_metadata(feed, frame);
}

/* Return the number of bytes of the block that are stored. */
static size_t feed_stored_bytes(const struct nats_feed *feed, const struct frame *frame)
{
	if (feed->partial.epoch != frame->epoch || feed->partial.sequence != frame->sequence)
		return 0;
	return feed->partial.bytes < frame->length ? feed->partial.bytes : 0;
}

/* What comes before a block: the change to its epoch, and the metadata now and then. */
static bool feed_prepare_block(struct nats_feed *feed, const struct frame *frame)
{
	bool new_epoch = feed->last.epoch != frame->epoch;

	if (feed->new_count || !feed->count)
		feed->count = frame->epoch;
	feed->new_count = false;
	if (new_epoch && !feed_publish_json(feed, "epoch", frame, NULL))
		return false;
	return feed->blocks++ < METADATA_BLOCKS || feed_publish_metadata(feed, frame);
}

static bool feed_take_block(struct nats_feed *feed, const struct frame *frame,
			    const unsigned char *bytes)
{
	size_t stored = feed_stored_bytes(feed, frame);
	struct nats_message message;

	/* Nothing may come between the pieces of a block. */
	if (!stored && !feed_prepare_block(feed, frame))
		return false;
	message = feed_message(feed, frame);
	message.gap_blocks = feed->gap_blocks;
	message.gap_bytes = feed->gap_bytes;
	feed->gap_blocks = feed->gap_bytes = 0;
	feed->last = *frame;
	return feed_publish(feed, feed->subject, &message, bytes, stored);
}

static bool feed_take_payload(void *data, const struct frame *frame, const unsigned char *bytes,
			      size_t length)
{
	struct nats_feed *feed = data;

	if (frame->flags & FRAME_PREAMBLE)
		return feed_take_preamble(feed, frame, bytes, length);
	return feed_take_block(feed, frame, bytes);
}

/* feed_prepare_block() knows which epoch it is. */
static void feed_take_epoch(void *data)
{
	(void)data;
}

static const char *feed_error(void *data)
{
	(void)data;
	return "no memory for a message";
}

struct cat_sink nats_feed_sink(struct nats_feed *feed)
{
	return (struct cat_sink){
		.data = feed,
		.write = feed_take_payload,
		.metadata = feed_take_metadata,
		.gap = feed_take_gap,
		.new_epoch = feed_take_epoch,
		.error = feed_error,
	};
}

bool nats_feed_end(struct nats_feed *feed)
{
	struct frame frame = feed->last;

	if (!frame.epoch)
		return true;
	frame.sequence++;
	frame.position += frame.length;
	frame.flags = FRAME_END;
	return feed_publish_json(feed, "end", &frame, NULL);
}

void nats_feed_free(struct nats_feed *feed)
{
	if (!feed)
		return;
	json_decref(feed->metadata);
	free(feed);
}
