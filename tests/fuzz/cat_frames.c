// SPDX-License-Identifier: BSD-2-Clause
/*
 * The frames that dmacastctl cat reads. The first byte is the size of the pieces; all others are the bytes of
 * connections. Pieces and a whole connection give the same frames, and what follows each other has no hidden loss.
 */
#include "lib/continuity.h"
#include "ctl/cat_frames.h"

#include "fuzz.h"

/* What a reader made of the bytes: sums that are equal if all frames are. */
struct frames_read {
	uint64_t frames, payload, sum;
	enum cat_frames_result result;
	bool refused; /* by the continuity */
};

static void read_payload(struct frames_read *read, const struct cat_frame *frame)
{
	read->frames++;
	read->payload += frame->header.length;
	for (uint32_t i = 0; i < frame->header.length; i++)
		read->sum = read->sum * 31 + frame->payload[i];
}

/* What was lost is what separates a frame from the one before. */
static void check_step(const struct continuity *before, const struct frame *frame,
		       const struct continuity_step *step)
{
	bool joined = before->joined;

	if (step->duplicate || step->unknown_loss || !joined)
		return;
	check(step->lost_blocks == frame->sequence - before->wanted.sequence &&
		      step->lost_bytes == frame->position - before->wanted.position,
	      "another loss than the places say");
	check(step->lost_bytes >= step->lost_blocks, "more blocks than bytes");
}

static void fuzz_frame(struct frames_read *read, struct continuity *continuity,
		       const struct cat_frame *frame)
{
	const struct continuity before = *continuity;
	struct continuity_step step;
	const char *error;

	read_payload(read, frame);
	read->refused = !continuity_check(continuity, &frame->header, &step, &error);
	if (read->refused)
		check(error && *error, "refused without a reason");
	else
		check_step(&before, &frame->header, &step);
}

/* Each piece is a copy of its own size, so that ASan sees each byte that is read behind it. */
static void read_piece(struct frames_read *read, struct cat_frames *frames,
		       struct continuity *continuity, const uint8_t *bytes, size_t length)
{
	unsigned char *copy = malloc(length);
	const unsigned char *next = copy;
	struct cat_frame frame;

	if (!copy)
		abort();
	memcpy(copy, bytes, length);
	do {
		read->result = cat_frames_next(frames, &next, &length, &frame);
		if (read->result == CAT_FRAMES_FRAME)
			fuzz_frame(read, continuity, &frame);
	} while (read->result == CAT_FRAMES_FRAME && !read->refused);
	check(read->result != CAT_FRAMES_MORE || !length, "%zu bytes are not used", length);
	free(copy);
}

static struct frames_read fuzz_connection(const uint8_t *bytes, size_t length, size_t piece)
{
	struct frames_read read = { .result = CAT_FRAMES_MORE };
	struct continuity continuity = { 0 };
	struct cat_frames *frames = cat_frames_create();

	if (!frames)
		abort();
	continuity_begin(&continuity, CONTINUITY_JOIN);
	for (size_t at = 0; at < length && read.result == CAT_FRAMES_MORE; at += piece)
		read_piece(&read, frames, &continuity, bytes + at,
			   length - at < piece ? length - at : piece);
	if (read.result == CAT_FRAMES_BAD)
		check(*cat_frames_error(frames), "an error without a text");
	cat_frames_free(frames);
	return read;
}

void fuzz_one(struct fuzz_input *input)
{
	size_t piece = 1 + fuzz_byte(input);
	struct frames_read pieces, whole;

	if (!input->left)
		return;
	pieces = fuzz_connection(input->next, input->left, piece);
	whole = fuzz_connection(input->next, input->left, input->left);
	check(pieces.frames == whole.frames && pieces.payload == whole.payload &&
		      pieces.sum == whole.sum,
	      "other frames in pieces of %zu", piece);
	check(pieces.result == whole.result && pieces.refused == whole.refused,
	      "another end in pieces of %zu", piece);
}
