// SPDX-License-Identifier: BSD-2-Clause
#include "lib/frame_reader.h"

#include "lib/state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void frame_reader_begin_frame(struct frame_reader *reader)
{
	reader->header_bytes = FRAME_HEADER_BYTES;
	reader->header_done = 0;
}

void frame_reader_restart(struct frame_reader *reader)
{
	frame_reader_begin_frame(reader);
	reader->offset = 0;
	reader->started = reader->ended = false;
	reader->error[0] = '\0';
}

enum frame_reader_result frame_reader_fail(struct frame_reader *reader, const char *format, ...)
{
	va_list args;
	int length = snprintf(reader->error, sizeof(reader->error),
			      "byte %" PRIu64 " of the connection: ", reader->offset);

	va_start(args, format);
	vsnprintf(reader->error + length, sizeof(reader->error) - (size_t)length, format, args);
	va_end(args);
	return FRAME_READER_BAD;
}

static enum frame_reader_result frame_reader_check_fields(struct frame_reader *reader,
							  enum frame_fault fault)
{
	const unsigned char *header = reader->header;

	switch (fault) {
	case FRAME_BAD_MAGIC:
		return frame_reader_fail(
			reader, "expected a frame, which begins with DMCF, got %02x %02x %02x %02x",
			header[0], header[1], header[2], header[3]);
	case FRAME_BAD_VERSION:
		return frame_reader_fail(reader, "version %u of frames, expected 1", header[4]);
	case FRAME_BAD_HEADER_LENGTH:
		return frame_reader_fail(reader, "a header of %u bytes, expected at least %u",
					 header[5], FRAME_HEADER_BYTES);
	default:
		return FRAME_READER_PAYLOAD;
	}
}

/* Return true if what the frame says about losses contradicts itself. */
static bool frame_losses_differ(const struct frame *frame)
{
	return !frame->lost_blocks != !(frame->flags & FRAME_LOSS) ||
	       !frame->lost_blocks != !frame->lost_bytes || frame->lost_bytes < frame->lost_blocks;
}

static enum frame_reader_result frame_reader_check_kind(struct frame_reader *reader)
{
	const struct frame *frame = &reader->frame;
	unsigned int kind = frame->flags & FRAME_KINDS;
	uint32_t limit = kind ? FRAME_MAX_ASIDE_BYTES : FRAME_MAX_BLOCK_BYTES;

	if (reader->ended)
		return frame_reader_fail(reader, "a frame after the one with END");
	if (!reader->started && kind != FRAME_METADATA)
		return frame_reader_fail(reader, "the first frame has no metadata");
	if (kind & (kind - 1))
		return frame_reader_fail(reader, "a frame of two kinds: flags %#x", frame->flags);
	if (kind == FRAME_END && frame->length)
		return frame_reader_fail(reader, "a frame with END and a payload");
	if (!kind && !frame->length)
		return frame_reader_fail(reader, "a block without payload");
	if (frame->length > limit)
		return frame_reader_fail(reader,
					 "a payload of %" PRIu32 " bytes, expected at most %u",
					 frame->length, limit);
	if (!frame->epoch)
		return frame_reader_fail(reader, "an epoch of 0");
	if (frame_losses_differ(frame))
		return frame_reader_fail(
			reader, "flags %#x with %" PRIu32 " lost blocks and %" PRIu64 " lost bytes",
			frame->flags, frame->lost_blocks, frame->lost_bytes);
	return FRAME_READER_PAYLOAD;
}

unsigned char *frame_reader_space(struct frame_reader *reader, size_t *bytes)
{
	*bytes = reader->header_bytes - reader->header_done;
	return reader->header + reader->header_done;
}

enum frame_reader_result frame_reader_took(struct frame_reader *reader, size_t bytes)
{
	bool known = reader->header_done >= FRAME_HEADER_BYTES;
	enum frame_reader_result result;

	reader->header_done += (unsigned int)bytes;
	if (reader->header_done < reader->header_bytes)
		return FRAME_READER_HEADER;
	if (known)
		return FRAME_READER_PAYLOAD;
	result = frame_reader_check_fields(
		reader, frame_parse(reader->header, &reader->frame, &reader->header_bytes));
	if (result == FRAME_READER_PAYLOAD)
		result = frame_reader_check_kind(reader);
	if (result == FRAME_READER_PAYLOAD && reader->header_done < reader->header_bytes)
		return FRAME_READER_HEADER;
	return result;
}

void frame_reader_end_frame(struct frame_reader *reader)
{
	reader->started = true;
	reader->ended = reader->frame.flags & FRAME_END;
	reader->offset += reader->header_bytes + reader->frame.length;
	frame_reader_begin_frame(reader);
}

/* Compute what follows from the bytes of the header that are there. */
static void frame_reader_restore(struct frame_reader *reader, unsigned int done,
				 struct state *state)
{
	frame_reader_begin_frame(reader);
	if (done > FRAME_MAX_HEADER_BYTES)
		state_fail(state, "header_done: %u bytes are too many", done);
	else if (done < FRAME_HEADER_BYTES)
		reader->header_done = done;
	else if (frame_reader_took(reader, FRAME_HEADER_BYTES) == FRAME_READER_BAD ||
		 done > reader->header_bytes)
		state_fail(state, "header: is none");
	else
		reader->header_done = done;
}

void frame_reader_transfer(struct frame_reader *reader, struct state *state)
{
	uint32_t done = reader->header_done;

	state_enter(state, "reader");
	state_fixed_bytes(state, "header", reader->header, sizeof(reader->header));
	state_u32(state, "header_done", &done);
	state_u64(state, "offset", &reader->offset);
	state_bool(state, "started", &reader->started);
	state_bool(state, "ended", &reader->ended);
	if (!state_is_saving(state) && !state_failed(state))
		frame_reader_restore(reader, done, state);
	state_leave(state);
}
