// SPDX-License-Identifier: BSD-2-Clause
#include "frames.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../frame_decode.h"
#include "options.h"
#include "run.h"
#include "tally.h"

enum flag { LOSS = 1, SHORT = 2, END = 4, METADATA = 8, START = 16, PREAMBLE = 32, ALL_FLAGS = 63 };

/* Frames that are no blocks. */
#define ASIDE (END | METADATA | PREAMBLE)

#define MAX_LENGTH (64U << 20)

void frames_begin(struct frames *frames, unsigned int client)
{
	memset(frames, 0, sizeof(*frames));
	frames->client = client;
}

/* ---- Headers ---- */

/* Return what is wrong with a header by itself; NULL: nothing. */
static const char *header_fault(const unsigned char *bytes, const struct frame *header)
{
	bool is_block = !(header->flags & ASIDE);

	if (memcmp(bytes, "DMCF\1\100", 6))
		return "magic, version or header length";
	if (header->flags & ~ALL_FLAGS || frame_number(bytes + 60, 4))
		return "unknown flags, or reserved bytes";
	if (header->length > MAX_LENGTH || !header->length != !!(header->flags & END))
		return "length";
	if (!header->epoch)
		return "epoch 0";
	if (!is_block && header->flags & (header->flags - 1))
		return "flags of a block without one";
	if (!(header->flags & LOSS) != !header->lost_blocks ||
	    !header->lost_blocks != !header->lost_bytes)
		return "losses and LOSS";
	if (is_block && opt.block_size > PATTERN_WORD &&
	    (header->length > opt.block_size ||
	     !(header->flags & SHORT) != (header->length == opt.block_size)))
		return "length and SHORT";
	if (!header->realtime_ns || header->monotonic_ns > run_clock())
		return "time";
	return NULL;
}

/* Return what is wrong with a header after the frames before it; NULL: nothing. */
static const char *order_fault(const struct frames *frames)
{
	const struct frame *now = &frames->now;
	bool is_block = !(now->flags & ASIDE), gap = now->sequence != frames->sequence;

	if (frames->ended)
		return "a frame behind END";
	if (!frames->begun)
		return now->flags & METADATA ? NULL : "the first frame is no metadata";
	if (now->sequence < frames->sequence || now->position < frames->position)
		return "it goes back";
	if (gap != (now->position != frames->position))
		return "a gap in sequence or position only";
	if (gap && !opt.allow_gaps)
		return "a gap";
	if (now->flags & PREAMBLE && (frames->epoch || frames->had_preamble))
		return "a preamble behind a block or another one";
	if (!is_block)
		return NULL;
	if (now->monotonic_ns < frames->monotonic_ns)
		return "captured before the block before it";
	if (!frames->epoch || (gap && now->epoch != frames->epoch))
		return NULL;
	return !(now->flags & START) != (now->epoch == frames->epoch) ? "epoch and START" : NULL;
}

static bool report_header(const struct frames *frames, const char *fault)
{
	const struct frame *now = &frames->now;

	tally_fail("client %u: wrong frame: %s: %" PRIu64 " at %" PRIu64 ", expected %" PRIu64
		   " at %" PRIu64 "; flags %u, length %u, epoch %u, lost %" PRIu64 " bytes, %u "
		   "blocks",
		   frames->client, fault, now->sequence, now->position, frames->sequence,
		   frames->position, now->flags, now->length, now->epoch, now->lost_bytes,
		   now->lost_blocks);
	return false;
}

static void count_frame_gap(const struct frames *frames)
{
	if (!frames->begun || frames->now.position == frames->position)
		return;
	tally.gaps++;
	tally.gap_blocks += frames->now.sequence - frames->sequence;
	tally.gap_bytes += frames->now.position - frames->position;
}

/* Find out which offset of the pattern this block begins with, if the blocks before it say so. */
static void place_block(struct frames *frames)
{
	const struct frame *now = &frames->now;
	bool gap = now->position != frames->position;

	tally.frames++;
	tally.starts += !!(now->flags & START);
	tally.lost_blocks += now->lost_blocks;
	tally.lost_bytes += now->lost_bytes;
	frames->lossy |= now->flags & LOSS;
	if (now->flags & START) {
		frames->located = true;
		frames->base = now->position;
	} else if (gap && (frames->lossy || now->epoch != frames->epoch)) {
		/* What the source lost meanwhile, or where its new run began, was in the gap. */
		frames->located = false;
	}
	frames->base -= now->lost_bytes;
	frames->epoch = now->epoch;
	frames->monotonic_ns = now->monotonic_ns;
}

static bool take_header(struct frames *frames)
{
	const char *fault;

	frames->now = frame_decode(frames->header);
	fault = header_fault(frames->header, &frames->now);
	if (!fault)
		fault = order_fault(frames);
	if (fault)
		return report_header(frames, fault);
	if (opt.from_start && !frames->begun && frames->now.position)
		return report_header(frames, "not from the start");
	count_frame_gap(frames);
	if (frames->now.flags & METADATA)
		tally.metadata++;
	else if (frames->now.flags & PREAMBLE)
		tally.preambles++;
	else if (frames->now.flags & END)
		frames->ended = true;
	else
		place_block(frames);
	tally.ends += frames->ended;
	frames->had_preamble |= frames->now.flags & PREAMBLE;
	frames->begun = true;
	frames->sequence = frames->now.sequence;
	frames->position = frames->now.position;
	frames->payload_done = 0;
	return true;
}

/* ---- Payload ---- */

static void note_first_offset(uint64_t offset)
{
	if (offset < tally.first_offset_min)
		tally.first_offset_min = offset;
	if (offset > tally.first_offset_max)
		tally.first_offset_max = offset;
}

/* Collect the first word of a block, and read its offset there. */
static void locate_block(struct frames *frames, const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length && frames->payload_done + i < PATTERN_WORD; i++)
		frames->first[frames->payload_done + i] = bytes[i];
	if (frames->payload_done + length < PATTERN_WORD)
		return;
	frames->located = true;
	frames->base = frames->position - frame_number(frames->first, PATTERN_WORD);
}

static bool take_pattern(struct frames *frames, const unsigned char *bytes, size_t length)
{
	uint64_t offset;
	size_t right;

	if (!frames->located)
		locate_block(frames, bytes, length);
	offset = frames->position - frames->base + frames->payload_done;
	if (!frames->noted && frames->located)
		note_first_offset(offset - frames->payload_done);
	frames->noted |= frames->located;
	right = frames->located ? pattern_check(bytes, length, offset) : length;
	if (right == length)
		return true;
	tally_fail("client %u: wrong byte %" PRIu64 " in block %" PRIu64 " at %" PRIu64
		   ": expected that of stream offset %" PRIu64,
		   frames->client, frames->payload_done + (uint64_t)right, frames->sequence,
		   frames->position, offset + right);
	return false;
}

/* Metadata is JSON; --metadata gets that of the first client, one line for each frame. */
static bool take_metadata(struct frames *frames, const unsigned char *bytes, size_t length)
{
	bool first = !frames->payload_done,
	     last = frames->payload_done + length == frames->now.length;
	FILE *file = NULL;

	if ((first && *bytes != '{') || (last && bytes[length - 1] != '}'))
		return report_header(frames, "metadata is no JSON object");
	if (opt.metadata && frames->client == 1)
		file = fopen(opt.metadata, "a");
	if (!file)
		return true;
	fwrite(bytes, 1, length, file);
	if (last)
		putc('\n', file);
	fclose(file);
	return true;
}

/* --preamble gets that of the first client. */
static bool take_preamble(struct frames *frames, const unsigned char *bytes, size_t length)
{
	FILE *file = opt.preamble && frames->client == 1 ? fopen(opt.preamble, "a") : NULL;

	if (!file)
		return true;
	fwrite(bytes, 1, length, file);
	fclose(file);
	return true;
}

static bool take_payload(struct frames *frames, const unsigned char *bytes, size_t length)
{
	bool is_metadata = frames->now.flags & METADATA, is_preamble = frames->now.flags & PREAMBLE;

	if (!(is_metadata   ? take_metadata
	      : is_preamble ? take_preamble
			    : take_pattern)(frames, bytes, length))
		return false;
	frames->payload_done += (uint32_t)length;
	if (frames->payload_done == frames->now.length && !is_metadata && !is_preamble) {
		frames->sequence++;
		frames->position += frames->now.length;
	}
	return true;
}

/* ---- Bytes ---- */

static bool is_within_payload(const struct frames *frames)
{
	return frames->header_length == FRAMES_HEADER && frames->payload_done < frames->now.length;
}

bool frames_received(struct frames *frames, const unsigned char *bytes, size_t length)
{
	bool right = true;

	while (length && right) {
		bool payload = is_within_payload(frames);
		size_t part;

		if (!payload && frames->header_length == FRAMES_HEADER)
			frames->header_length = 0;
		part = payload ? frames->now.length - frames->payload_done
			       : FRAMES_HEADER - frames->header_length;
		if (part > length)
			part = length;
		if (payload) {
			right = take_payload(frames, bytes, part);
		} else {
			memcpy(frames->header + frames->header_length, bytes, part);
			frames->header_length += part;
			if (frames->header_length == FRAMES_HEADER)
				right = take_header(frames);
		}
		bytes += part;
		length -= part;
	}
	tally.bad += !right;
	return right;
}

bool frames_finish(const struct frames *frames, bool in_order)
{
	bool within = is_within_payload(frames) ||
		      (frames->header_length && frames->header_length < FRAMES_HEADER);

	if (!in_order || (frames->ended && !within))
		return true;
	tally_fail("client %u: the connection ended %s", frames->client,
		   within ? "within a frame" : "without END");
	tally.bad++;
	return false;
}
