// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_frames.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER_BYTES 255

struct cat_frames {
	unsigned char header[MAX_HEADER_BYTES];
	unsigned int header_bytes; /* of the whole header, as far as known */
	unsigned int header_done;
	struct frame frame; /* valid when the first 64 bytes are there */
	unsigned char *payload;
	size_t capacity, payload_done;
	uint64_t offset; /* of the frame, in the connection */
	bool started;	 /* a frame of this connection was complete */
	bool ended;
	char error[CAT_FRAMES_ERROR];
};

struct cat_frames *cat_frames_create(void)
{
	struct cat_frames *frames = calloc(1, sizeof(*frames));

	if (frames)
		cat_frames_restart(frames);
	return frames;
}

static void cat_frames_begin_frame(struct cat_frames *frames)
{
	frames->header_bytes = FRAME_HEADER_BYTES;
	frames->header_done = 0;
	frames->payload_done = 0;
}

void cat_frames_restart(struct cat_frames *frames)
{
	cat_frames_begin_frame(frames);
	frames->offset = 0;
	frames->started = frames->ended = false;
	frames->error[0] = '\0';
}

static enum cat_frames_result __attribute__((format(printf, 2, 3)))
cat_frames_fail(struct cat_frames *frames, const char *format, ...)
{
	va_list args;
	int length = snprintf(frames->error, sizeof(frames->error),
			      "byte %" PRIu64 " of the connection: ", frames->offset);

	va_start(args, format);
	vsnprintf(frames->error + length, sizeof(frames->error) - (size_t)length, format, args);
	va_end(args);
	return CAT_FRAMES_BAD;
}

static enum cat_frames_result cat_frames_check_fields(struct cat_frames *frames,
						      enum frame_fault fault)
{
	const unsigned char *header = frames->header;

	switch (fault) {
	case FRAME_BAD_MAGIC:
		return cat_frames_fail(
			frames, "expected a frame, which begins with DMCF, got %02x %02x %02x %02x",
			header[0], header[1], header[2], header[3]);
	case FRAME_BAD_VERSION:
		return cat_frames_fail(frames, "version %u of frames, expected 1", header[4]);
	case FRAME_BAD_HEADER_LENGTH:
		return cat_frames_fail(frames, "a header of %u bytes, expected at least %u",
				       header[5], FRAME_HEADER_BYTES);
	default:
		return CAT_FRAMES_FRAME;
	}
}

/* Kinds that have a place in the stream but are no block. */
static unsigned int cat_frames_kind(const struct frame *frame)
{
	return frame->flags & (FRAME_END | FRAME_METADATA | FRAME_PREAMBLE);
}

static enum cat_frames_result cat_frames_check_kind(struct cat_frames *frames)
{
	const struct frame *frame = &frames->frame;
	unsigned int kind = cat_frames_kind(frame);
	uint32_t limit = kind ? CAT_MAX_ASIDE_BYTES : CAT_MAX_BLOCK_BYTES;

	if (frames->ended)
		return cat_frames_fail(frames, "a frame after the one with END");
	if (!frames->started && kind != FRAME_METADATA)
		return cat_frames_fail(frames, "the first frame has no metadata");
	if (kind & (kind - 1))
		return cat_frames_fail(frames, "a frame of two kinds: flags %#x", frame->flags);
	if (kind == FRAME_END && frame->length)
		return cat_frames_fail(frames, "a frame with END and a payload");
	if (!kind && !frame->length)
		return cat_frames_fail(frames, "a block without payload");
	if (frame->length > limit)
		return cat_frames_fail(frames,
				       "a payload of %" PRIu32 " bytes, expected at most %u",
				       frame->length, limit);
	if (!frame->epoch)
		return cat_frames_fail(frames, "an epoch of 0");
	if (!frame->lost_blocks != !(frame->flags & FRAME_LOSS) ||
	    !frame->lost_blocks != !frame->lost_bytes || frame->lost_bytes < frame->lost_blocks)
		return cat_frames_fail(
			frames, "flags %#x with %" PRIu32 " lost blocks and %" PRIu64 " lost bytes",
			frame->flags, frame->lost_blocks, frame->lost_bytes);
	return CAT_FRAMES_FRAME;
}

static enum cat_frames_result cat_frames_reserve(struct cat_frames *frames)
{
	unsigned char *payload;

	if (frames->frame.length <= frames->capacity)
		return CAT_FRAMES_FRAME;
	payload = realloc(frames->payload, frames->frame.length);
	if (!payload)
		return cat_frames_fail(frames, "no memory for a frame of %" PRIu32 " bytes",
				       frames->frame.length);
	frames->payload = payload;
	frames->capacity = frames->frame.length;
	return CAT_FRAMES_FRAME;
}

static size_t cat_frames_take(unsigned char *to, size_t wanted, const unsigned char **bytes,
			      size_t *length)
{
	size_t taken = wanted < *length ? wanted : *length;

	if (taken)
		memcpy(to, *bytes, taken);
	*bytes += taken;
	*length -= taken;
	return taken;
}

/* Return: CAT_FRAMES_FRAME when the header is complete and right. */
static enum cat_frames_result cat_frames_take_header(struct cat_frames *frames,
						     const unsigned char **bytes, size_t *length)
{
	bool known = frames->header_done >= FRAME_HEADER_BYTES;
	enum cat_frames_result result;

	frames->header_done += (unsigned int)cat_frames_take(
		frames->header + frames->header_done, frames->header_bytes - frames->header_done,
		bytes, length);
	if (frames->header_done < frames->header_bytes)
		return CAT_FRAMES_MORE;
	if (known)
		return CAT_FRAMES_FRAME;
	result = cat_frames_check_fields(
		frames, frame_parse(frames->header, &frames->frame, &frames->header_bytes));
	if (result == CAT_FRAMES_FRAME)
		result = cat_frames_check_kind(frames);
	if (result == CAT_FRAMES_FRAME)
		result = cat_frames_reserve(frames);
	if (result != CAT_FRAMES_FRAME || frames->header_done == frames->header_bytes)
		return result;
	return cat_frames_take_header(frames, bytes, length);
}

/* Return the payload if it is complete: in place, or from its parts. NULL: more is needed. */
static const unsigned char *cat_frames_take_payload(struct cat_frames *frames,
						    const unsigned char **bytes, size_t *length)
{
	size_t wanted = frames->frame.length - frames->payload_done;
	const unsigned char *payload = *bytes;

	if (!frames->payload_done && *length >= wanted) {
		*bytes += wanted;
		*length -= wanted;
		return payload;
	}
	frames->payload_done +=
		cat_frames_take(frames->payload + frames->payload_done, wanted, bytes, length);
	return frames->payload_done == frames->frame.length ? frames->payload : NULL;
}

enum cat_frames_result cat_frames_next(struct cat_frames *frames, const unsigned char **bytes,
				       size_t *length, struct cat_frame *frame)
{
	enum cat_frames_result result = CAT_FRAMES_FRAME;

	if (frames->header_done < frames->header_bytes)
		result = cat_frames_take_header(frames, bytes, length);
	if (result != CAT_FRAMES_FRAME)
		return result;
	frame->payload = cat_frames_take_payload(frames, bytes, length);
	if (!frame->payload)
		return CAT_FRAMES_MORE;
	frame->header = frames->frame;
	frames->started = true;
	frames->ended = frame->header.flags & FRAME_END;
	frames->offset += frames->header_bytes + frame->header.length;
	cat_frames_begin_frame(frames);
	return CAT_FRAMES_FRAME;
}

const char *cat_frames_error(const struct cat_frames *frames)
{
	return frames->error;
}

size_t cat_frames_incomplete(const struct cat_frames *frames)
{
	return frames->header_done + frames->payload_done;
}

bool cat_frames_ended(const struct cat_frames *frames)
{
	return frames->ended;
}

void cat_frames_free(struct cat_frames *frames)
{
	if (frames)
		free(frames->payload);
	free(frames);
}
