// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_frames.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct cat_frames {
	struct frame_reader reader;
	unsigned char *payload;
	size_t capacity, payload_done;
};

struct cat_frames *cat_frames_create(void)
{
	struct cat_frames *frames = calloc(1, sizeof(*frames));

	if (frames)
		cat_frames_restart(frames);
	return frames;
}

void cat_frames_restart(struct cat_frames *frames)
{
	frame_reader_restart(&frames->reader);
	frames->payload_done = 0;
}

/* Return: false without memory for the payload. */
static bool cat_frames_reserve(struct cat_frames *frames)
{
	uint32_t length = frames->reader.frame.length;
	unsigned char *payload;

	if (length <= frames->capacity)
		return true;
	payload = realloc(frames->payload, length);
	if (!payload) {
		frame_reader_fail(&frames->reader, "no memory for a frame of %" PRIu32 " bytes",
				  length);
		return false;
	}
	frames->payload = payload;
	frames->capacity = length;
	return true;
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
	enum frame_reader_result result = FRAME_READER_HEADER;

	while (result == FRAME_READER_HEADER && *length) {
		size_t wanted;
		unsigned char *space = frame_reader_space(&frames->reader, &wanted);

		result = frame_reader_took(&frames->reader,
					   cat_frames_take(space, wanted, bytes, length));
	}
	if (result == FRAME_READER_HEADER)
		return CAT_FRAMES_MORE;
	if (result == FRAME_READER_BAD || !cat_frames_reserve(frames))
		return CAT_FRAMES_BAD;
	return CAT_FRAMES_FRAME;
}

/* Return the payload if it is complete: in place, or from its parts. NULL: more is needed. */
static const unsigned char *cat_frames_take_payload(struct cat_frames *frames,
						    const unsigned char **bytes, size_t *length)
{
	size_t wanted = frames->reader.frame.length - frames->payload_done;
	const unsigned char *payload = *bytes;

	if (!frames->payload_done && *length >= wanted) {
		*bytes += wanted;
		*length -= wanted;
		return payload;
	}
	frames->payload_done +=
		cat_frames_take(frames->payload + frames->payload_done, wanted, bytes, length);
	return frames->payload_done == frames->reader.frame.length ? frames->payload : NULL;
}

enum cat_frames_result cat_frames_next(struct cat_frames *frames, const unsigned char **bytes,
				       size_t *length, struct cat_frame *frame)
{
	enum cat_frames_result result = CAT_FRAMES_FRAME;

	if (!frame_reader_has_header(&frames->reader))
		result = cat_frames_take_header(frames, bytes, length);
	if (result != CAT_FRAMES_FRAME)
		return result;
	frame->payload = cat_frames_take_payload(frames, bytes, length);
	if (!frame->payload)
		return CAT_FRAMES_MORE;
	frame->header = frames->reader.frame;
	frame_reader_end_frame(&frames->reader);
	frames->payload_done = 0;
	return CAT_FRAMES_FRAME;
}

const char *cat_frames_error(const struct cat_frames *frames)
{
	return frames->reader.error;
}

size_t cat_frames_incomplete(const struct cat_frames *frames)
{
	return frames->reader.header_done + frames->payload_done;
}

bool cat_frames_ended(const struct cat_frames *frames)
{
	return frames->reader.ended;
}

void cat_frames_free(struct cat_frames *frames)
{
	if (frames)
		free(frames->payload);
	free(frames);
}
