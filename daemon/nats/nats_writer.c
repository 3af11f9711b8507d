// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_writer.h"

#include "ctl/cat_output.h"
#include "ctl/cat_receiver.h"
#include "ctl/cat_sink.h"
#include "nats/nats_join.h"

#include <stdlib.h>
#include <string.h>

struct nats_writer {
	bool framed;
	const char *stream;
	struct cat_output *output;
	struct cat_sink sink;
	struct cat_receiver *receiver;
	struct nats_join join;
	json_t *metadata; /* newest; NULL: unknown */
	bool metadata_due;
	bool broken;	     /* what was taken of a block is dropped */
	uint32_t count;	     /* of the last block; 0: none yet */
	struct frame next;   /* place behind the last frame */
	uint64_t duplicates; /* blocks that were there before */
};

/* ---- the sink for frames ---- */

static bool writer_write_frame(struct nats_writer *writer, const struct frame *frame,
			       const void *bytes, size_t length)
{
	unsigned char header[FRAME_HEADER_BYTES];

	frame_encode(frame, header);
	return cat_output_write(writer->output, NULL, header, sizeof(header)) &&
	       cat_output_write(writer->output, NULL, bytes, length);
}

static bool writer_take_payload(void *data, const struct frame *frame, const unsigned char *bytes,
				size_t length)
{
	return writer_write_frame(data, frame, bytes, length);
}

static bool writer_take_metadata(void *data, const struct frame *frame, json_t *metadata)
{
	char *text = json_dumps(metadata, JSON_COMPACT);
	struct frame copy = *frame;
	bool done;

	copy.length = text ? (uint32_t)strlen(text) : 0;
	done = text && writer_write_frame(data, &copy, text, copy.length);
	free(text);
	return done;
}

/* Readers see it by the sequence and the position. */
static void writer_take_gap(void *data, const struct cat_gap *gap, const struct frame *frame)
{
	(void)data;
	(void)gap;
	(void)frame;
}

static void writer_take_epoch(void *data)
{
	(void)data;
}

static const char *writer_sink_error(void *data)
{
	const struct nats_writer *writer = data;

	return cat_output_error(writer->output);
}

/* ---- life ---- */

struct nats_writer *nats_writer_create(bool framed, const char *stream, struct cat_output *output,
				       struct cat_report *report)
{
	struct nats_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return NULL;
	writer->framed = framed;
	writer->stream = stream;
	writer->output = output;
	writer->sink = framed ? (struct cat_sink){
		.data = writer,
		.write = writer_take_payload,
		.metadata = writer_take_metadata,
		.gap = writer_take_gap,
		.new_epoch = writer_take_epoch,
		.error = writer_sink_error,
	} : cat_output_sink(output);
	writer->receiver =
		cat_receiver_create(CAT_FORMAT_FRAMED, UINT64_MAX, false, &writer->sink, report);
	if (writer->receiver)
		return writer;
	free(writer);
	return NULL;
}

void nats_writer_free(struct nats_writer *writer)
{
	if (!writer)
		return;
	cat_receiver_free(writer->receiver);
	json_decref(writer->metadata);
	free(writer);
}

/* ---- metadata ---- */

void nats_writer_note_event(struct nats_writer *writer, const char *payload, size_t length)
{
	json_t *body = json_loadb(payload, length, 0, NULL);
	json_t *metadata = json_object_get(body, "metadata");

	if (json_is_object(metadata) &&
	    !(writer->metadata && json_equal(writer->metadata, metadata))) {
		json_decref(writer->metadata);
		writer->metadata = json_incref(metadata);
		writer->metadata_due = true;
	}
	json_decref(body);
}

/* Return the metadata of a block, which may be older or newer than what is known. NULL without memory. */
static char *writer_metadata_text(const struct nats_writer *writer,
				  const struct nats_message *message)
{
	json_t *metadata = writer->metadata ? json_copy(writer->metadata)
					    : json_pack("{s:s}", "stream", writer->stream);
	char *text = NULL;

	if (metadata) {
		json_object_set_new(metadata, "epoch", json_integer(message->frame.epoch));
		if (message->block_size)
			json_object_set_new(metadata, "block_size",
					    json_integer(message->block_size));
		text = json_dumps(metadata, JSON_COMPACT);
	}
	json_decref(metadata);
	return text;
}

static bool writer_feed(struct nats_writer *writer, const void *bytes, size_t length)
{
	return cat_receiver_feed(writer->receiver, bytes, length) != CAT_RECEIVER_FAILED;
}

static bool writer_feed_header(struct nats_writer *writer, const struct frame *frame)
{
	unsigned char header[FRAME_HEADER_BYTES];

	frame_encode(frame, header);
	return writer_feed(writer, header, sizeof(header));
}

static bool writer_feed_metadata(struct nats_writer *writer, const struct nats_message *message)
{
	struct frame frame = message->frame;
	char *text = writer_metadata_text(writer, message);
	bool done;

	writer->metadata_due = false;
	frame.flags = FRAME_METADATA;
	frame.lost_blocks = 0;
	frame.lost_bytes = 0;
	frame.length = text ? (uint32_t)strlen(text) : 0;
	done = text && writer_feed_header(writer, &frame) &&
	       writer_feed(writer, text, frame.length);
	free(text);
	return done;
}

/* ---- blocks ---- */

/* Return how the frames that follow are linked to those before, when a block was not complete. */
static enum continuity_link writer_link(const struct nats_writer *writer,
					const struct nats_message *message)
{
	if (writer->count != message->count)
		return CONTINUITY_JOIN;
	return writer->next.sequence == message->frame.sequence ? CONTINUITY_RESUMED
								: CONTINUITY_OLDEST;
}

static bool writer_begin_block(struct nats_writer *writer, const struct nats_message *message)
{
	bool restart = writer->broken || writer->count != message->count;

	writer->broken = false;
	if (restart)
		cat_receiver_begin(writer->receiver, writer_link(writer, message));
	if (restart || writer->next.epoch != message->frame.epoch)
		writer->metadata_due = true;
	return !writer->metadata_due || writer_feed_metadata(writer, message);
}

static void writer_note_end(struct nats_writer *writer, const struct nats_message *message)
{
	const struct frame *frame = &message->frame;
	bool block = !nats_message_is_event(message);

	writer->count = message->count;
	writer->next = *frame;
	writer->next.sequence += block;
	writer->next.position += block ? frame->length : 0;
}

static bool writer_take_piece(struct nats_writer *writer, const struct nats_message *message,
			      const char *payload, size_t length)
{
	bool dropped;
	enum nats_join_result result = nats_join_take(&writer->join, message, length, &dropped);

	writer->broken |= dropped;
	switch (result) {
	case NATS_JOIN_BEGIN:
		if (!writer_begin_block(writer, message))
			return false;
		writer_note_end(writer, message);
		return writer_feed_header(writer, &message->frame) &&
		       writer_feed(writer, payload, length);
	case NATS_JOIN_MORE:
		return writer_feed(writer, payload, length);
	default:
		return true;
	}
}

/* Return true for what is written: blocks, and a preamble in front of all. */
static bool writer_wants(const struct nats_writer *writer, const struct nats_message *message)
{
	if (!nats_message_is_event(message))
		return true;
	return message->frame.flags & FRAME_PREAMBLE && (!writer->count || message->offset);
}

/* A publisher stores no block twice; should there be one, it is no reason to stop. */
static bool writer_has(const struct nats_writer *writer, const struct nats_message *message)
{
	return writer->count == message->count && !message->offset &&
	       !nats_message_is_event(message) && message->frame.sequence < writer->next.sequence;
}

enum nats_writer_result nats_writer_take(struct nats_writer *writer,
					 const struct nats_message *message, const char *payload,
					 size_t length)
{
	if (!writer_wants(writer, message)) {
		if (nats_message_is_event(message))
			nats_writer_note_event(writer, payload, length);
		return NATS_WRITER_TAKEN;
	}
	if (writer->framed && writer->count && writer->count != message->count)
		return NATS_WRITER_ENDS;
	if (writer_has(writer, message)) {
		writer->duplicates++;
		return NATS_WRITER_TAKEN;
	}
	return writer_take_piece(writer, message, payload, length) ? NATS_WRITER_TAKEN
								   : NATS_WRITER_FAILED;
}

bool nats_writer_is_whole(const struct nats_writer *writer)
{
	return nats_join_is_whole(&writer->join);
}

bool nats_writer_end(struct nats_writer *writer)
{
	struct frame frame = writer->next;

	if (!writer->framed || !writer->count)
		return true;
	frame.flags = FRAME_END;
	frame.length = 0;
	frame.lost_blocks = 0;
	frame.lost_bytes = 0;
	return writer_write_frame(writer, &frame, NULL, 0);
}

uint64_t nats_writer_bytes(const struct nats_writer *writer)
{
	return cat_receiver_bytes(writer->receiver);
}

uint64_t nats_writer_duplicates(const struct nats_writer *writer)
{
	return writer->duplicates;
}

const char *nats_writer_error(const struct nats_writer *writer)
{
	const char *error = cat_receiver_error(writer->receiver);

	return *error ? error : "no memory";
}
