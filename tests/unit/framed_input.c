// SPDX-License-Identifier: BSD-2-Clause
/* Frames that become the blocks of a relay: in pieces of any size, cut anywhere, repeated, with gaps, and malformed. */
#include "source/framed_input.h"

#include "dice.h"
#include "ring/ring_memory.h"
#include "tap.h"

#include <bsd/string.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 4096U
#define BLOCKS 8U
#define MAX_FEED (1U << 20)
#define MAX_GIVEN 64

/* What was handed on. */
struct given {
	struct frame frame;
	bool restarts;
	uint64_t missed;
	unsigned char first; /* byte of the payload */
};

static struct {
	struct stream_settings settings;
	struct ring *ring;
	struct framed_input *input;
	struct given given[MAX_GIVEN];
	unsigned int blocks, readies, starved;
	char metadata[256], preamble[256];
	unsigned int descriptions;
	bool is_garbage; /* the bytes are not checked */
	bool keeps;	 /* blocks are held instead of given back at once */
	struct block *held[BLOCKS];
	unsigned int held_count;
} world;

/* The bytes of a connection. */
static struct feed {
	unsigned char byte[MAX_FEED];
	size_t bytes;
} feed;

/* ---- callbacks ---- */

static void take_identity(void *argument, const struct frame *frame, bool restarts, uint64_t missed)
{
	(void)argument;
	if (world.blocks == MAX_GIVEN)
		errx(1, "more than a test gives");
	world.given[world.blocks] =
		(struct given){ .frame = *frame, .restarts = restarts, .missed = missed };
}

/* Return true if all bytes are the same. */
static bool is_uniform(const struct block *block)
{
	return !memcmp(block->data, block->data + 1, block->length - 1);
}

static void take_block(void *argument, struct block *block)
{
	struct given *given = &world.given[world.blocks];

	(void)argument;
	check(block->length == given->frame.length, "a block of %u bytes, whose frame has %u",
	      block->length, given->frame.length);
	given->first = block->data[0];
	check(world.is_garbage || is_uniform(block), "block %u has bytes of another one",
	      world.blocks);
	world.blocks++;
	if (world.keeps)
		world.held[world.held_count++] = block;
	else
		ring_put(world.ring, block);
}

static void take_description(void *argument, const struct frame *frame, const void *payload)
{
	char *text = frame->flags & FRAME_METADATA ? world.metadata : world.preamble;

	(void)argument;
	snprintf(text, sizeof(world.metadata), "%.*s", (int)frame->length, (const char *)payload);
	world.descriptions++;
}

static void note_ready(void *argument)
{
	(void)argument;
	world.readies++;
}

static void note_starved(void *argument)
{
	(void)argument;
	world.starved++;
}

static void have_room(void *argument)
{
	(void)argument;
}

static const struct source_callbacks callbacks = {
	.identified = take_identity,
	.block_filled = take_block,
	.described = take_description,
	.ready = note_ready,
	.starved = note_starved,
	.make_room = have_room,
};

/* ---- the world ---- */

static void framed_world_begin(void)
{
	static char name[] = "test";

	memset(&world, 0, sizeof(world));
	world.settings.name = name;
	world.settings.block_size = BLOCK_SIZE;
	world.settings.ring_size = BLOCKS * BLOCK_SIZE;
	world.settings.low_water = 1;
	world.ring = ring_memory_create(name, BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	if (world.ring)
		world.input = framed_input_create(&world.settings, world.ring, &callbacks, NULL);
	if (!world.input)
		errx(1, "no memory");
}

static void framed_world_end(void)
{
	framed_input_free(world.input);
	while (world.held_count)
		ring_put(world.ring, world.held[--world.held_count]);
	check(ring_free_blocks(world.ring) == BLOCKS, "%u of %u blocks are free at the end",
	      ring_free_blocks(world.ring), BLOCKS);
	ring_destroy(world.ring);
}

/* ---- frames ---- */

static void frames_begin(void)
{
	feed.bytes = 0;
}

static void feed_frame(struct frame frame, int byte)
{
	frame_encode(&frame, feed.byte + feed.bytes);
	memset(feed.byte + feed.bytes + FRAME_HEADER_BYTES, byte, frame.length);
	feed.bytes += FRAME_HEADER_BYTES + frame.length;
}

static void feed_note(enum frame_flag kind, uint32_t epoch, uint64_t sequence, const char *text)
{
	const struct frame frame = { .flags = (uint16_t)kind,
				     .length = (uint32_t)strlen(text),
				     .epoch = epoch,
				     .sequence = sequence,
				     .position = sequence * BLOCK_SIZE };

	feed_frame(frame, 0);
	memcpy(feed.byte + feed.bytes - frame.length, text, frame.length);
}

static struct frame block_frame(uint32_t epoch, uint64_t sequence)
{
	return (struct frame){
		.length = BLOCK_SIZE,
		.epoch = epoch,
		.sequence = sequence,
		.position = sequence * BLOCK_SIZE,
		.realtime_ns = 1000 + sequence,
		.monotonic_ns = 2000 + sequence,
	};
}

/* Blocks from @first on, whose bytes are their sequence. */
static void feed_blocks(uint32_t epoch, uint64_t first, unsigned int count)
{
	for (uint64_t i = first; i < first + count; i++)
		feed_frame(block_frame(epoch, i), (int)(i & 0xff));
}

/* Give @bytes of the feed from *@done on, up to @most at a time. Return: the last result. */
static enum framed_input_result give(size_t *done, size_t bytes, size_t most)
{
	enum framed_input_result result = FRAMED_INPUT_MORE;

	while (*done < bytes && result == FRAMED_INPUT_MORE) {
		struct iovec space[FRAMED_INPUT_SPACES];
		size_t wanted, part, left;
		int count = framed_input_spaces(world.input, space, &wanted);

		if (!count)
			return result;
		if (wanted > bytes - *done)
			wanted = bytes - *done;
		if (wanted > most)
			wanted = most;
		left = wanted;
		for (int i = 0; i < count && left; i++) {
			part = left < space[i].iov_len ? left : space[i].iov_len;
			memcpy(space[i].iov_base, feed.byte + *done, part);
			*done += part;
			left -= part;
		}
		result = framed_input_commit(world.input, wanted);
	}
	framed_input_ready(world.input);
	return result;
}

static enum framed_input_result give_all(size_t most)
{
	size_t done = 0;

	return give(&done, feed.bytes, most);
}

/* Blocks from @first on were handed on, each once. */
static void check_given(uint32_t epoch, uint64_t first, unsigned int count)
{
	check(world.blocks == count, "%u blocks, expected %u", world.blocks, count);
	for (unsigned int i = 0; i < count && i < world.blocks; i++) {
		const struct frame *frame = &world.given[i].frame;

		check(frame->epoch == epoch && frame->sequence == first + i &&
			      frame->position == (first + i) * BLOCK_SIZE &&
			      frame->realtime_ns == 1000 + first + i &&
			      frame->monotonic_ns == 2000 + first + i &&
			      world.given[i].first == ((first + i) & 0xff),
		      "block %u is %x:%u", i, frame->epoch, (unsigned int)frame->sequence);
	}
}

/* ---- tests ---- */

static void feed_usual(void)
{
	frames_begin();
	feed_note(FRAME_METADATA, 7, 100, "{\"a\":1}");
	feed_note(FRAME_PREAMBLE, 7, 100, "head");
	feed_blocks(7, 100, 5);
	feed_note(FRAME_END, 7, 105, "");
}

static void test_framed_pieces(void)
{
	static const size_t most[] = { 1, 2, 63, 64, 65, 100, 4096, 4160, 5000, SIZE_MAX };

	for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
		framed_world_begin();
		framed_input_begin(world.input, CONTINUITY_JOIN);
		feed_usual();
		check(give_all(most[i]) == FRAMED_INPUT_ENDED, "no end: %s",
		      framed_input_error(world.input));
		check_given(7, 100, 5);
		check(!strcmp(world.metadata, "{\"a\":1}") && !strcmp(world.preamble, "head"),
		      "%s, %s", world.metadata, world.preamble);
		check(!world.given[0].restarts && !world.given[0].missed, "a loss at the begin");
		check(world.readies && framed_input_gained(world.input), "not reported");
		framed_world_end();
	}
	point("blocks, metadata and a preamble, in pieces of any size");
}

/* Each byte of a connection is the last one before it is cut; the next one resumes. */
static void test_framed_cuts(void)
{
	size_t step = 97;

	for (size_t cut = 1; cut < FRAME_HEADER_BYTES * 7 + 5 * BLOCK_SIZE; cut += step) {
		size_t done = 0;
		uint64_t sequence = 99;
		uint32_t epoch;

		framed_world_begin();
		framed_input_begin(world.input, CONTINUITY_JOIN);
		feed_usual();
		give(&done, cut, SIZE_MAX);
		framed_input_cut(world.input);
		if (framed_input_last(world.input, &epoch, &sequence))
			framed_input_begin(world.input, CONTINUITY_RESUMED);
		else
			framed_input_begin(world.input, CONTINUITY_JOIN);
		sequence = world.blocks ? sequence + 1 : 100;
		frames_begin();
		feed_note(FRAME_METADATA, 7, sequence, "{}");
		feed_blocks(7, sequence, (unsigned int)(105 - sequence));
		check(give_all(SIZE_MAX) == FRAMED_INPUT_MORE, "%s",
		      framed_input_error(world.input));
		check_given(7, 100, 5);
		for (unsigned int i = 0; i < world.blocks; i++)
			check(!world.given[i].missed && !world.given[i].restarts, "a loss");
		framed_world_end();
	}
	point("a connection that is cut anywhere, and resumed: each block once");
}

static void test_framed_duplicates(void)
{
	framed_world_begin();
	framed_input_begin(world.input, CONTINUITY_JOIN);
	frames_begin();
	feed_note(FRAME_METADATA, 7, 10, "{}");
	feed_blocks(7, 10, 4);
	give_all(SIZE_MAX);
	framed_input_cut(world.input);
	framed_input_begin(world.input, CONTINUITY_JOIN);
	frames_begin();
	feed_note(FRAME_METADATA, 7, 8, "{}");
	feed_blocks(7, 8, 10);
	check(give_all(1000) == FRAMED_INPUT_MORE, "%s", framed_input_error(world.input));
	check_given(7, 10, 8);
	framed_world_end();
	point("another origin that has sent less: no block twice");
}

static void test_framed_gaps(void)
{
	struct frame lossy = block_frame(7, 30);

	framed_world_begin();
	framed_input_begin(world.input, CONTINUITY_JOIN);
	frames_begin();
	feed_note(FRAME_METADATA, 7, 10, "{}");
	feed_blocks(7, 10, 2);
	feed_blocks(7, 15, 1);
	give_all(SIZE_MAX);
	check(world.blocks == 3 && world.given[2].missed == 3, "%u blocks, %u missed", world.blocks,
	      (unsigned int)world.given[2].missed);
	framed_input_cut(world.input);
	framed_input_begin(world.input, CONTINUITY_OLDEST);
	frames_begin();
	feed_note(FRAME_METADATA, 7, 20, "{}");
	feed_note(FRAME_METADATA, 7, 25, "{}");
	lossy.flags = FRAME_LOSS;
	lossy.lost_blocks = 4;
	lossy.lost_bytes = 4 * BLOCK_SIZE;
	feed_frame(lossy, 30);
	give_all(SIZE_MAX);
	check(world.blocks == 4 && world.given[3].missed == 14 + 4 && !world.given[3].restarts,
	      "%u blocks, %u missed", world.blocks, (unsigned int)world.given[3].missed);
	check(world.given[3].frame.flags == FRAME_LOSS && world.given[3].frame.lost_blocks == 4,
	      "what the origin lost is not passed on");
	framed_world_end();
	point("what is missing within a connection, between two, and at the origin is counted "
	      "once");
}

static void test_framed_new_epochs(void)
{
	struct frame start = block_frame(8, 12);

	framed_world_begin();
	framed_input_begin(world.input, CONTINUITY_JOIN);
	frames_begin();
	feed_note(FRAME_METADATA, 7, 10, "seven");
	feed_blocks(7, 10, 2);
	feed_note(FRAME_METADATA, 8, 12, "eight");
	give_all(SIZE_MAX);
	check(!strcmp(world.metadata, "seven"), "metadata of an epoch that has not begun");
	frames_begin();
	start.flags = FRAME_START;
	feed_frame(start, 12);
	give_all(SIZE_MAX);
	check(world.blocks == 3 && !world.given[2].restarts && !world.given[2].missed &&
		      world.given[2].frame.flags == FRAME_START && !strcmp(world.metadata, "eight"),
	      "the epoch does not begin in order");
	framed_input_cut(world.input);
	framed_input_begin(world.input, CONTINUITY_JOIN);
	frames_begin();
	feed_note(FRAME_METADATA, 9, 0, "nine");
	feed_blocks(9, 0, 2);
	give_all(SIZE_MAX);
	check(world.blocks == 5 && world.given[3].restarts && !world.given[3].missed &&
		      !world.given[4].restarts && !strcmp(world.metadata, "nine"),
	      "an origin that began again");
	framed_world_end();
	point("a new epoch within the count of an origin, and with another count");
}

static void test_framed_starved(void)
{
	size_t done = 0;

	framed_world_begin();
	world.keeps = true;
	framed_input_begin(world.input, CONTINUITY_JOIN);
	frames_begin();
	feed_note(FRAME_METADATA, 7, 0, "{}");
	feed_blocks(7, 0, BLOCKS + 1);
	give(&done, feed.bytes, SIZE_MAX);
	check(world.blocks == BLOCKS && world.starved == 1 && done < feed.bytes,
	      "%u blocks, starved %u times", world.blocks, world.starved);
	world.keeps = false;
	ring_put(world.ring, world.held[--world.held_count]);
	give(&done, feed.bytes, SIZE_MAX);
	check_given(7, 0, BLOCKS + 1);
	framed_world_end();
	point("without a free block it waits, and goes on");
}

/* ---- malformed frames ---- */

static void check_bad(const char *text)
{
	check(give_all(SIZE_MAX) == FRAMED_INPUT_BAD &&
		      strstr(framed_input_error(world.input), text),
	      "got \"%s\", expected \"%s\"", framed_input_error(world.input), text);
}

static void test_framed_malformed(void)
{
	struct frame frame = block_frame(7, 12);

	for (int i = 0; i < 7; i++) {
		static const char *const expected[] = {
			"begins with DMCF",
			"a block of 4097, but block-size = 4K; raise block-size",
			"the sequence goes back",
			"the position goes back",
			"a frame of two kinds",
			"an epoch without START",
			"sequence and the position contradict",
		};

		framed_world_begin();
		framed_input_begin(world.input, CONTINUITY_JOIN);
		frames_begin();
		feed_note(FRAME_METADATA, 7, 10, "{}");
		feed_blocks(7, 10, 2);
		frame = block_frame(7, 12);
		frame.length = BLOCK_SIZE + (i == 1);
		frame.sequence = i == 2 ? 3 : i == 6 ? 15 : 12;
		frame.position -= i == 3 ? BLOCK_SIZE : 0;
		frame.flags = i == 4 ? FRAME_END | FRAME_METADATA : 0;
		frame.epoch = i == 5 ? 8 : 7;
		feed_frame(frame, 1);
		if (i == 0)
			feed.byte[feed.bytes - BLOCK_SIZE - FRAME_HEADER_BYTES] = 'X';
		check_bad(expected[i]);
		check_given(7, 10, 2);
		framed_world_end();
	}
	point("malformed frames are refused with a reason, and the blocks before them are kept");
}

/* Bytes that are changed at random do no harm. */
static void test_framed_garbage(unsigned int steps)
{
	struct dice dice = { 4711 };

	for (unsigned int i = 0; i < steps; i++) {
		framed_world_begin();
		framed_input_begin(world.input, CONTINUITY_JOIN);
		feed_usual();
		world.is_garbage = true;
		for (unsigned int n = dice_roll(&dice, 1, 4); n; n--)
			feed.byte[dice_roll(&dice, 0, (uint32_t)feed.bytes - 1)] =
				(unsigned char)dice_roll(&dice, 0, 255);
		for (unsigned int n = dice_roll(&dice, 0, 3); n; n--)
			feed.byte[dice_roll(&dice, 0, 220)] ^=
				(unsigned char)(1U << dice_roll(&dice, 0, 7));
		(void)give_all(dice_roll(&dice, 1, 5000));
		framed_world_end();
	}
	point("%u connections with wrong bytes do no harm", steps);
}

int main(int argc, char **argv)
{
	unsigned int steps = argc > 1 ? (unsigned int)atoi(argv[1]) : 200000;

	test_framed_pieces();
	test_framed_cuts();
	test_framed_duplicates();
	test_framed_gaps();
	test_framed_new_epochs();
	test_framed_starved();
	test_framed_malformed();
	test_framed_garbage(10 + steps / 200);
	return tap_end();
}
