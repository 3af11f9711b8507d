// SPDX-License-Identifier: BSD-2-Clause
#include "source/framed_input.h"

#include "lib/clock.h"
#include "lib/state.h"
#include "lib/units.h"
#include "ring/ring.h"
#include "source/source_block.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a payload that is dropped, which are read at once. */
#define SCRATCH_BYTES (64U << 10)

/* Metadata or a preamble that waits for the first block of its epoch. */
struct framed_note {
	unsigned char *payload; /* NULL: none waits */
	unsigned char header[FRAME_HEADER_BYTES];
};

struct framed_input {
	const struct stream_settings *settings;
	struct ring *ring;
	const struct source_callbacks *callbacks;
	void *argument;
	struct frame_reader reader;
	unsigned char ahead[FRAME_HEADER_BYTES]; /* of the next header, read with a payload */
	struct continuity continuity;		 /* up to the last complete frame */
	struct continuity with_frame;		 /* and with the frame whose payload is due */
	struct continuity_step step;		 /* of that frame */
	struct block *block;			 /* that is being filled; its length is `done` */
	unsigned char *aside;			 /* payload of metadata or a preamble */
	size_t done;				 /* bytes of the payload */
	struct framed_note metadata, preamble;
	uint64_t
		missed; /* blocks before the next one that did not come here, or that the origin lost */
	bool restarts; /* the numbers of the next block do not continue those of before */
	bool gained;
	bool handed_on;
	char error[FRAMED_INPUT_ERROR];
};

struct framed_input *framed_input_create(const struct stream_settings *settings, struct ring *ring,
					 const struct source_callbacks *callbacks, void *argument)
{
	struct framed_input *input = calloc(1, sizeof(*input));

	if (!input)
		return NULL;
	input->settings = settings;
	input->ring = ring;
	input->callbacks = callbacks;
	input->argument = argument;
	frame_reader_restart(&input->reader);
	return input;
}

void framed_input_begin(struct framed_input *input, enum continuity_link link)
{
	framed_input_cut(input);
	continuity_begin(&input->continuity, link);
	input->gained = false;
}

static void framed_return_block(struct framed_input *input)
{
	if (!input->block)
		return;
	input->block->length = 0;
	ring_return_unused(input->ring, input->block);
	input->block = NULL;
}

static void framed_drop_frame(struct framed_input *input)
{
	framed_return_block(input);
	free(input->aside);
	input->aside = NULL;
	input->done = 0;
}

void framed_input_cut(struct framed_input *input)
{
	framed_drop_frame(input);
	frame_reader_restart(&input->reader);
}

bool framed_input_last(const struct framed_input *input, uint32_t *epoch, uint64_t *sequence)
{
	*epoch = input->continuity.last_epoch;
	*sequence = input->continuity.last_sequence;
	return input->continuity.received;
}

/* ---- where the next bytes go ---- */

/* Return true if the payload is that of a block that the relay does not have. */
static bool framed_fills_block(const struct framed_input *input)
{
	return frame_is_block(&input->reader.frame) && !input->step.duplicate;
}

/* Return: false when the ring has no free block. */
static bool framed_have_block(struct framed_input *input)
{
	if (input->block)
		return true;
	input->block = source_block_take(input->ring, stream_settings_low_water(input->settings),
					 input->callbacks, input->argument);
	if (!input->block)
		return false;
	input->block->captured_ns = clock_monotonic_ns();
	return true;
}

/* Return where the rest of the payload goes; nothing, when the ring has no free block. */
static struct iovec framed_payload_space(struct framed_input *input)
{
	static unsigned char scratch[SCRATCH_BYTES];
	size_t rest = input->reader.frame.length - input->done;

	if (framed_fills_block(input))
		return framed_have_block(input)
			       ? (struct iovec){ input->block->data + input->done, rest }
			       : (struct iovec){ 0 };
	if (input->aside)
		return (struct iovec){ input->aside + input->done, rest };
	return (struct iovec){ scratch, rest < SCRATCH_BYTES ? rest : SCRATCH_BYTES };
}

int framed_input_spaces(struct framed_input *input, struct iovec space[FRAMED_INPUT_SPACES],
			size_t *bytes)
{
	if (!frame_reader_has_header(&input->reader)) {
		space[0].iov_base = frame_reader_space(&input->reader, bytes);
		space[0].iov_len = *bytes;
		return 1;
	}
	space[0] = framed_payload_space(input);
	*bytes = space[0].iov_len;
	if (!*bytes)
		return 0;
	if (input->done + *bytes < input->reader.frame.length)
		return 1;
	space[1] = (struct iovec){ input->ahead, sizeof(input->ahead) };
	*bytes += space[1].iov_len;
	return 2;
}

/* ---- a header ---- */

static enum framed_input_result framed_refuse(struct framed_input *input, const char *fault)
{
	const struct frame *frame = &input->reader.frame;

	snprintf(input->error, sizeof(input->error),
		 "the frame of %08" PRIx32 ":%" PRIu64 " cannot follow the one before: %s",
		 frame->epoch, frame->sequence, fault);
	return FRAMED_INPUT_BAD;
}

static enum framed_input_result framed_refuse_size(struct framed_input *input)
{
	char length[UNITS_TEXT], size[UNITS_TEXT];

	snprintf(input->error, sizeof(input->error),
		 "the origin sends a block of %s, but block-size = %s; raise block-size to that of "
		 "the origin",
		 units_format_size(input->reader.frame.length, length),
		 units_format_size(ring_block_size(input->ring), size));
	return FRAMED_INPUT_BAD;
}

/* Return: false if the frame cannot follow. @fault: out */
static bool framed_check(struct framed_input *input, const char **fault)
{
	input->with_frame = input->continuity;
	return continuity_check(&input->with_frame, &input->reader.frame, &input->step, fault);
}

/* The header is complete, and right by itself. */
static enum framed_input_result framed_begin_payload(struct framed_input *input)
{
	const struct frame *frame = &input->reader.frame;
	const char *fault;

	if (!framed_check(input, &fault))
		return framed_refuse(input, fault);
	if (frame_is_block(frame) && frame->length > ring_block_size(input->ring))
		return framed_refuse_size(input);
	if (frame_is_block(frame) || frame->flags & FRAME_END)
		return FRAMED_INPUT_MORE;
	input->aside = malloc(frame->length + 1U);
	if (input->aside)
		return FRAMED_INPUT_MORE;
	snprintf(input->error, sizeof(input->error), "no memory for a frame of %" PRIu32 " bytes",
		 frame->length);
	return FRAMED_INPUT_BAD;
}

/* ---- a whole frame ---- */

static void framed_describe(struct framed_input *input, struct framed_note *note)
{
	unsigned int ignored;
	struct frame frame;

	if (!note->payload)
		return;
	frame_parse(note->header, &frame, &ignored);
	input->callbacks->described(input->argument, &frame, note->payload);
	free(note->payload);
	note->payload = NULL;
}

/* Take over the payload, and hand it on unless it is that of blocks to come. */
static void framed_take_note(struct framed_input *input, struct framed_note *note)
{
	const struct frame *frame = &input->reader.frame;

	free(note->payload);
	note->payload = input->aside;
	input->aside = NULL;
	frame_encode(frame, note->header);
	if (!input->continuity.received || frame->epoch == input->continuity.last_epoch)
		framed_describe(input, note);
}

static void framed_hand_on(struct framed_input *input)
{
	struct block *block = input->block;

	input->block = NULL;
	if (input->continuity.received)
		input->missed += input->reader.frame.lost_blocks;
	source_block_date(block);
	input->callbacks->identified(input->argument, &input->reader.frame, input->restarts,
				     input->missed);
	input->missed = 0;
	input->restarts = false;
	input->gained = input->handed_on = true;
	framed_describe(input, &input->metadata);
	framed_describe(input, &input->preamble);
	input->callbacks->block_filled(input->argument, block);
}

static enum framed_input_result framed_end_frame(struct framed_input *input)
{
	unsigned int flags = input->reader.frame.flags;

	input->missed += input->step.lost_blocks;
	input->restarts |= input->step.unknown_loss;
	if (flags & FRAME_METADATA)
		framed_take_note(input, &input->metadata);
	else if (flags & FRAME_PREAMBLE)
		framed_take_note(input, &input->preamble);
	else if (input->block)
		framed_hand_on(input);
	input->continuity = input->with_frame;
	input->done = 0;
	frame_reader_end_frame(&input->reader);
	return flags & FRAME_END ? FRAMED_INPUT_ENDED : FRAMED_INPUT_MORE;
}

/* ---- bytes ---- */

/* Return: the result; FRAMED_INPUT_MORE also when the header is complete. */
static enum framed_input_result framed_commit_header(struct framed_input *input, size_t bytes)
{
	enum framed_input_result result;

	switch (frame_reader_took(&input->reader, bytes)) {
	case FRAME_READER_BAD:
		snprintf(input->error, sizeof(input->error), "%s", input->reader.error);
		return FRAMED_INPUT_BAD;
	case FRAME_READER_HEADER:
		return FRAMED_INPUT_MORE;
	default:
		break;
	}
	result = framed_begin_payload(input);
	if (result == FRAMED_INPUT_MORE && !input->reader.frame.length)
		result = framed_end_frame(input);
	return result;
}

/* Take the header that was read with the payload before it. */
static enum framed_input_result framed_commit_ahead(struct framed_input *input, size_t bytes)
{
	size_t wanted;
	unsigned char *space = frame_reader_space(&input->reader, &wanted);

	assert(bytes <= wanted);
	memcpy(space, input->ahead, bytes);
	return framed_commit_header(input, bytes);
}

enum framed_input_result framed_input_commit(struct framed_input *input, size_t bytes)
{
	size_t rest = input->reader.frame.length - input->done, part = bytes < rest ? bytes : rest;
	enum framed_input_result result;

	if (!frame_reader_has_header(&input->reader))
		return framed_commit_header(input, bytes);
	input->done += part;
	if (input->block)
		input->block->length = (uint32_t)input->done;
	if (input->done < input->reader.frame.length)
		return FRAMED_INPUT_MORE;
	result = framed_end_frame(input);
	if (result == FRAMED_INPUT_MORE && bytes > part)
		result = framed_commit_ahead(input, bytes - part);
	return result;
}

void framed_input_ready(struct framed_input *input)
{
	if (input->handed_on)
		input->callbacks->ready(input->argument);
	input->handed_on = false;
}

bool framed_input_gained(const struct framed_input *input)
{
	return input->gained;
}

const char *framed_input_error(const struct framed_input *input)
{
	return input->error;
}

/* ---- handover ---- */

static void framed_transfer_note(struct framed_note *note, struct state *state, const char *name)
{
	unsigned int ignored;
	struct frame frame = { 0 };
	size_t length;

	if (!state_optional(state, name, note->payload))
		return;
	state_fixed_bytes(state, "header", note->header, sizeof(note->header));
	frame_parse(note->header, &frame, &ignored);
	length = frame.length;
	state_bytes(state, "payload", &note->payload, &length, FRAME_MAX_ASIDE_BYTES);
	if (!state_failed(state) && (length != frame.length || !note->payload))
		state_fail(state, "payload: %zu bytes do not fit the header", length);
	state_leave(state);
}

/* Return true if the bytes that were read are a part of the payload whose header is there. */
static bool framed_may_continue(const struct framed_input *input)
{
	const struct frame *frame = &input->reader.frame;

	if (!frame_reader_has_header(&input->reader))
		return !input->done && !input->block;
	return input->done < frame->length &&
	       (!frame_is_block(frame) || frame->length <= ring_block_size(input->ring)) &&
	       (!input->block || (frame_is_block(frame) && input->block->length == input->done));
}

/* Own the block of the state: only one that is owned can be returned to the ring. */
static void framed_claim_block(struct framed_input *input, struct state *state)
{
	if (!input->block || (!state_failed(state) && ring_claim(input->ring, input->block)))
		return;
	state_fail(state, "block: is not one that can be filled");
	input->block = NULL;
}

/* Restore what follows from the header of the frame whose payload is due. @part: what was read of it aside */
static void framed_restore_payload(struct framed_input *input, struct state *state,
				   const unsigned char *part, size_t length)
{
	const struct frame *frame = &input->reader.frame;
	const char *fault = NULL;

	if (!framed_may_continue(input) || length > input->done) {
		state_fail(state, "done: %zu bytes cannot be read of this frame", input->done);
		return;
	}
	if (!frame_reader_has_header(&input->reader) || state_failed(state))
		return;
	if (!framed_check(input, &fault))
		state_fail(state, "reader: %s", fault);
	else if (framed_fills_block(input) ? !input->block && input->done : input->block != NULL)
		state_fail(state, "block: contradicts the frame");
	else if (!frame_is_block(frame) && length != input->done)
		state_fail(state, "aside: expected %zu bytes", input->done);
	else if (!frame_is_block(frame) && !(input->aside = malloc(frame->length + 1U)))
		state_fail(state, "no memory");
	else if (length)
		memcpy(input->aside, part, length);
}

static void framed_transfer_payload(struct framed_input *input, struct state *state)
{
	size_t length = input->aside ? input->done : 0;
	unsigned char *part = input->aside;

	state_size(state, "done", &input->done);
	ring_transfer_block(input->ring, state, "block", &input->block);
	state_bytes(state, "aside", &part, &length, FRAME_MAX_ASIDE_BYTES);
	if (state_is_saving(state))
		return;
	framed_claim_block(input, state);
	if (!state_failed(state))
		framed_restore_payload(input, state, part, length);
	free(part);
}

void framed_input_transfer(struct framed_input *input, struct state *state)
{
	state_enter(state, "framed");
	frame_reader_transfer(&input->reader, state);
	continuity_transfer(&input->continuity, state);
	framed_transfer_note(&input->metadata, state, "metadata");
	framed_transfer_note(&input->preamble, state, "preamble");
	state_u64(state, "missed", &input->missed);
	state_bool(state, "restarts", &input->restarts);
	state_bool(state, "gained", &input->gained);
	state_bool(state, "handed_on", &input->handed_on);
	framed_transfer_payload(input, state);
	state_leave(state);
}

void framed_input_free(struct framed_input *input)
{
	if (!input)
		return;
	framed_drop_frame(input);
	free(input->metadata.payload);
	free(input->preamble.payload);
	free(input);
}
