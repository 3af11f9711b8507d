// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_receiver.h"

#include "ctl/cat_frames.h"
#include "ctl/cat_gap.h"
#include "ctl/cat_progress.h"
#include "ctl/cat_report.h"
#include "ctl/cat_sink.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes that tell a framed stream from a raw one: the magic and the version. */
#define TELLING_BYTES 5

#define RECEIVER_ERROR 4600

struct cat_receiver {
	enum cat_format wanted, format;	   /* as asked for; of this connection, or AUTO */
	unsigned char told[TELLING_BYTES]; /* first bytes, while the format is not known */
	size_t told_bytes;
	bool interrupted; /* raw bytes were received before this connection */
	bool sigmf;
	uint64_t bytes, limit;
	enum cat_receiver_state state;
	struct cat_frames *frames;
	struct continuity continuity;
	const struct cat_sink *sink;
	struct cat_report *report;
	char error[RECEIVER_ERROR];
};

struct cat_receiver *cat_receiver_create(enum cat_format format, uint64_t limit, bool sigmf,
					 const struct cat_sink *sink, struct cat_report *report)
{
	struct cat_receiver *receiver = calloc(1, sizeof(*receiver));

	if (!receiver)
		return NULL;
	receiver->wanted = format;
	receiver->limit = limit;
	receiver->sigmf = sigmf;
	receiver->sink = sink;
	receiver->report = report;
	receiver->frames = cat_frames_create();
	if (receiver->frames)
		return receiver;
	free(receiver);
	return NULL;
}

void cat_receiver_resume(struct cat_receiver *receiver, const struct frame *frame)
{
	continuity_resume(&receiver->continuity, frame);
}

void cat_receiver_begin(struct cat_receiver *receiver, enum continuity_link link)
{
	receiver->format = receiver->wanted;
	receiver->told_bytes = 0;
	if (receiver->state == CAT_RECEIVER_ENDED)
		receiver->state = CAT_RECEIVER_RUNS;
	receiver->interrupted = receiver->bytes > 0;
	cat_frames_restart(receiver->frames);
	continuity_begin(&receiver->continuity, link);
}

static void cat_receiver_fail(struct cat_receiver *receiver, const char *reason)
{
	snprintf(receiver->error, sizeof(receiver->error), "%s", reason);
	receiver->state = CAT_RECEIVER_FAILED;
}

/* ---- payload ---- */

static void cat_receiver_write(struct cat_receiver *receiver, const struct frame *frame,
			       const unsigned char *bytes, size_t length)
{
	uint64_t left = receiver->limit - receiver->bytes;

	if (length > left)
		length = (size_t)left;
	if (!receiver->sink->write(receiver->sink->data, frame, bytes, length)) {
		cat_receiver_fail(receiver, receiver->sink->error(receiver->sink->data));
		return;
	}
	receiver->bytes += length;
	cat_progress_note_bytes(cat_report_progress(receiver->report), receiver->bytes);
	if (receiver->bytes == receiver->limit)
		receiver->state = CAT_RECEIVER_COMPLETE;
}

static void cat_receiver_note_gap(struct cat_receiver *receiver, enum cat_gap_origin origin,
				  uint64_t blocks, uint64_t bytes, const struct frame *frame)
{
	const struct cat_gap gap = { .origin = origin, .blocks = blocks, .bytes = bytes };

	cat_report_gap(receiver->report, &gap, frame);
	receiver->sink->gap(receiver->sink->data, &gap, frame);
}

static void cat_receiver_take_raw(struct cat_receiver *receiver, const unsigned char *bytes,
				  size_t length)
{
	if (receiver->interrupted)
		cat_receiver_note_gap(receiver, CAT_GAP_UNKNOWN, 0, 0, NULL);
	receiver->interrupted = false;
	cat_receiver_write(receiver, NULL, bytes, length);
}

/* ---- frames ---- */

static void cat_receiver_take_metadata(struct cat_receiver *receiver, const struct cat_frame *frame)
{
	json_error_t error;
	json_t *metadata =
		json_loadb((const char *)frame->payload, frame->header.length, 0, &error);
	char text[RECEIVER_ERROR];

	if (!json_is_object(metadata)) {
		snprintf(text, sizeof(text), "the metadata is no JSON object: %s", error.text);
		cat_receiver_fail(receiver, text);
	} else if (!receiver->sink->metadata(receiver->sink->data, &frame->header, metadata)) {
		cat_receiver_fail(receiver, receiver->sink->error(receiver->sink->data));
	} else {
		cat_report_event(receiver->report, "metadata",
				 json_pack("{s:O}", "metadata", metadata));
	}
	json_decref(metadata);
}

/* The preamble belongs to a run, so a connection that continues the run does not need it again. */
static void cat_receiver_take_preamble(struct cat_receiver *receiver, const struct cat_frame *frame)
{
	if (!receiver->sigmf && frame->header.epoch != receiver->continuity.last_epoch)
		cat_receiver_write(receiver, &frame->header, frame->payload, frame->header.length);
}

static void cat_receiver_take_block(struct cat_receiver *receiver, const struct cat_frame *frame,
				    const struct continuity_step *step)
{
	const struct frame *header = &frame->header;

	/* What was lost before the first block would not have been received. */
	if (header->flags & FRAME_LOSS && !step->first)
		cat_receiver_note_gap(receiver, CAT_GAP_SOURCE, header->lost_blocks,
				      header->lost_bytes, header);
	if (step->new_epoch)
		receiver->sink->new_epoch(receiver->sink->data);
	cat_progress_note_lag(cat_report_progress(receiver->report), header->realtime_ns);
	cat_receiver_write(receiver, header, frame->payload, header->length);
}

static void cat_receiver_note_losses(struct cat_receiver *receiver,
				     const struct continuity_step *step, const struct frame *frame)
{
	if (step->unknown_loss)
		cat_receiver_note_gap(receiver, CAT_GAP_UNKNOWN, 0, 0, frame);
	if (step->lost_bytes)
		cat_receiver_note_gap(receiver, CAT_GAP_CLIENT, step->lost_blocks, step->lost_bytes,
				      frame);
}

static void cat_receiver_take_frame(struct cat_receiver *receiver, const struct cat_frame *frame)
{
	const struct frame *header = &frame->header;
	struct continuity_step step;
	const char *fault;
	char text[RECEIVER_ERROR];

	if (!continuity_check(&receiver->continuity, header, &step, &fault)) {
		snprintf(text, sizeof(text),
			 "the frame of %08" PRIx32 ":%" PRIu64 " (byte %" PRIu64
			 " of the stream) cannot follow the one before: %s",
			 header->epoch, header->sequence, header->position, fault);
		cat_receiver_fail(receiver, text);
		return;
	}
	cat_receiver_note_losses(receiver, &step, header);
	if (header->flags & FRAME_METADATA)
		cat_receiver_take_metadata(receiver, frame);
	else if (header->flags & FRAME_PREAMBLE)
		cat_receiver_take_preamble(receiver, frame);
	else if (header->flags & FRAME_END)
		receiver->state = CAT_RECEIVER_ENDED;
	else if (!step.duplicate)
		cat_receiver_take_block(receiver, frame, &step);
}

static void cat_receiver_take_frames(struct cat_receiver *receiver, const unsigned char *bytes,
				     size_t length)
{
	enum cat_frames_result result = CAT_FRAMES_FRAME;
	struct cat_frame frame;

	while (receiver->state == CAT_RECEIVER_RUNS && result == CAT_FRAMES_FRAME) {
		result = cat_frames_next(receiver->frames, &bytes, &length, &frame);
		if (result == CAT_FRAMES_FRAME)
			cat_receiver_take_frame(receiver, &frame);
		else if (result == CAT_FRAMES_BAD)
			cat_receiver_fail(receiver, cat_frames_error(receiver->frames));
	}
	if (receiver->state == CAT_RECEIVER_ENDED && length)
		cat_receiver_fail(receiver, "the server sends bytes after the frame with END");
}

/* ---- bytes ---- */

static void cat_receiver_take(struct cat_receiver *receiver, const unsigned char *bytes,
			      size_t length)
{
	if (receiver->state != CAT_RECEIVER_RUNS || !length)
		return;
	if (receiver->format == CAT_FORMAT_FRAMED)
		cat_receiver_take_frames(receiver, bytes, length);
	else
		cat_receiver_take_raw(receiver, bytes, length);
}

/* Tell the format by the first bytes. Return the number of bytes that were used for that. */
static size_t cat_receiver_tell(struct cat_receiver *receiver, const unsigned char *bytes,
				size_t length)
{
	size_t space = TELLING_BYTES - receiver->told_bytes,
	       taken = length < space ? length : space;

	memcpy(receiver->told + receiver->told_bytes, bytes, taken);
	receiver->told_bytes += taken;
	if (!frame_begins(receiver->told, receiver->told_bytes))
		receiver->format = CAT_FORMAT_RAW;
	else if (receiver->told_bytes == TELLING_BYTES)
		receiver->format = CAT_FORMAT_FRAMED;
	if (receiver->format != CAT_FORMAT_AUTO)
		cat_receiver_take(receiver, receiver->told, receiver->told_bytes);
	return taken;
}

enum cat_receiver_state cat_receiver_feed(struct cat_receiver *receiver, const unsigned char *bytes,
					  size_t length)
{
	size_t told = 0;

	if (receiver->format == CAT_FORMAT_AUTO)
		told = cat_receiver_tell(receiver, bytes, length);
	cat_receiver_take(receiver, bytes + told, length - told);
	return receiver->state;
}

size_t cat_receiver_end(struct cat_receiver *receiver)
{
	/* A raw stream may be that short. */
	if (receiver->format == CAT_FORMAT_AUTO) {
		receiver->format = CAT_FORMAT_RAW;
		cat_receiver_take(receiver, receiver->told, receiver->told_bytes);
	}
	return receiver->format == CAT_FORMAT_FRAMED ? cat_frames_incomplete(receiver->frames) : 0;
}

enum cat_receiver_state cat_receiver_state(const struct cat_receiver *receiver)
{
	return receiver->state;
}

bool cat_receiver_is_framed(const struct cat_receiver *receiver)
{
	return receiver->format == CAT_FORMAT_FRAMED;
}

const char *cat_receiver_error(const struct cat_receiver *receiver)
{
	return receiver->error;
}

bool cat_receiver_last(const struct cat_receiver *receiver, uint32_t *epoch, uint64_t *sequence)
{
	*epoch = receiver->continuity.last_epoch;
	*sequence = receiver->continuity.last_sequence;
	return receiver->continuity.received;
}

uint64_t cat_receiver_bytes(const struct cat_receiver *receiver)
{
	return receiver->bytes;
}

void cat_receiver_free(struct cat_receiver *receiver)
{
	if (!receiver)
		return;
	cat_frames_free(receiver->frames);
	free(receiver);
}
