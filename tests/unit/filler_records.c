// SPDX-License-Identifier: BSD-2-Clause
/*
 * Usage: filler_records [STEPS [SEED]]
 *
 * The filler with `record-size` or `record-end`: which bytes each block has, for every place where reads and
 * blocks divide what ends a record, and at random compared with a naive model.
 */
#include "source/filler.h"

#include "config/option_table.h"
#include "dice.h"
#include "lib/log.h"
#include "ring/ring_memory.h"
#include "runloop.h"
#include "tap.h"

#include <err.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 4U
#define BLOCK_SIZE 4096U
#define FEED_BYTES (64U << 10)

static char stream_name_text[] = "test";

/* The user of the filler: keeps what it was given, and the blocks until give_back(). */
static struct world {
	struct event_base *base;
	struct stream_settings settings;
	struct ring *ring;
	struct filler *filler;
	unsigned char feed[FEED_BYTES]; /* what is written, from its start on */
	size_t written, received;	/* bytes */
	unsigned char got[FEED_BYTES];
	size_t block_end[FEED_BYTES]; /* in `got`, of each block */
	uint32_t block_count;
	struct block *held[BLOCKS];
	uint32_t held_count;
	uint32_t broken, starved; /* calls */
	uint64_t captured_ns;	  /* of the last block */
} world;

static void records_block_filled(void *argument, struct block *block)
{
	(void)argument;
	check(block->length, "an empty block");
	/* Also of a block that begins with the rest of the one before. */
	check(block->captured_ns >= world.captured_ns && block->captured_ns <= block->monotonic_ns,
	      "captured %lld ns after the block before",
	      (long long)(block->captured_ns - world.captured_ns));
	world.captured_ns = block->captured_ns;
	memcpy(world.got + world.received, block->data, block->length);
	world.received += block->length;
	world.block_end[world.block_count++] = world.received;
	world.held[world.held_count++] = block;
}

static void records_count_broken(void *argument)
{
	(void)argument;
	world.broken++;
}

static void records_count_starved(void *argument)
{
	(void)argument;
	world.starved++;
}

static void records_do_nothing(void *argument)
{
	(void)argument;
}

static size_t records_whole_ring(void *argument)
{
	(void)argument;
	return BLOCKS * BLOCK_SIZE;
}

static size_t records_head; /* bytes of `preamble` in the next world */

/* Begin with records of @size bytes, or if that is 0 with those that end with @end. */
static void records_world_begin(uint64_t size, const void *end, size_t end_length)
{
	static const struct source_callbacks callbacks = {
		.block_filled = records_block_filled,
		.record_broken = records_count_broken,
		.make_room = records_do_nothing,
		.starved = records_count_starved,
		.ready = records_do_nothing,
		.budget = records_whole_ring,
	};

	memset(&world, 0, sizeof(world));
	option_set_defaults(OPTION_STREAM, &world.settings);
	world.settings.name = stream_name_text;
	world.settings.low_water = 1;
	world.settings.flush = 1000;
	world.settings.record_size = size;
	world.settings.preamble.bytes = records_head;
	world.settings.record_end.length = (uint8_t)end_length;
	if (end_length)
		memcpy(world.settings.record_end.byte, end, end_length);
	world.base = event_base_new();
	world.ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	if (!world.base || !world.ring)
		errx(1, "no ring");
	world.filler = filler_create(world.base, &world.settings, world.ring, &callbacks, NULL,
				     records_do_nothing, NULL);
	if (!world.filler)
		errx(1, "no filler");
	memset(world.feed, 'x', sizeof(world.feed));
}

static void records_give_back(void)
{
	while (world.held_count)
		ring_put(world.ring, world.held[--world.held_count]);
}

static void records_world_end(void)
{
	filler_destroy(world.filler);
	records_give_back();
	check(ring_free_blocks(world.ring) == BLOCKS, "%u blocks are free",
	      ring_free_blocks(world.ring));
	ring_destroy(world.ring);
	event_base_free(world.base);
}

/* Write the next bytes of the feed, at most @bytes in one call. Return: false without a free block. */
static bool records_write(size_t bytes)
{
	struct iovec space[FILLER_BLOCKS];
	size_t most = bytes, done = 0;
	int count = filler_spaces(world.filler, space, &most);

	if (!count)
		return false;
	for (int i = 0; i < count; i++) {
		memcpy(space[i].iov_base, world.feed + world.written + done, space[i].iov_len);
		done += space[i].iov_len;
	}
	check(done == most && done <= bytes, "%zu bytes of space, not %zu", done, most);
	filler_commit(world.filler, done);
	world.written += done;
	if (dice_one_in(&(struct dice){ .state = world.written }, 2))
		filler_ready(world.filler);
	return true;
}

/* Write up to this byte of the feed; blocks are given back at once. */
static void records_write_until(size_t end)
{
	while (world.written < end) {
		if (!records_write(end - world.written))
			errx(1, "no free block");
		records_give_back();
	}
}

static void check_blocks(const size_t *end, uint32_t count)
{
	check(world.block_count == count, "%u blocks, expected %u", world.block_count, count);
	for (uint32_t i = 0; i < count && i < world.block_count; i++)
		check(world.block_end[i] == end[i], "block %u ends at %zu, expected %zu", i,
		      world.block_end[i], end[i]);
	check(!memcmp(world.got, world.feed, world.received), "other bytes");
}

static const char *const ends[] = { "\n", "\r\n", "<=>", "0123456789abcdef" };

/* The second record ends with the last byte of the first block, or some bytes before or behind that. */
static void test_split_by_blocks(void)
{
	for (size_t e = 0; e < sizeof(ends) / sizeof(ends[0]); e++) {
		size_t length = strlen(ends[e]);

		for (size_t second = BLOCK_SIZE - 1; second <= BLOCK_SIZE + length; second++) {
			const size_t third = second + BLOCK_SIZE;
			/* Those in front of it, if the second record does not fit the first block. */
			const size_t expected[] = { 1000, second, third };
			bool fits = second <= BLOCK_SIZE;

			records_world_begin(0, ends[e], length);
			memcpy(world.feed + 1000 - length, ends[e], length);
			memcpy(world.feed + second - length, ends[e], length);
			memcpy(world.feed + third - length, ends[e], length);
			records_write_until(third);
			check_blocks(fits ? expected + 1 : expected, fits ? 2 : 3);
			check(!world.broken, "%u broken", world.broken);
			records_world_end();
		}
	}
	point("an end of 1, 2, 3 and 16 bytes around the end of a block moves the rest");
}

/* Two reads divide the end of a record at each of its bytes; after that the records are handed on. */
static void test_split_by_reads(void)
{
	for (size_t e = 0; e < sizeof(ends) / sizeof(ends[0]); e++) {
		size_t length = strlen(ends[e]);

		for (size_t part = 0; part <= length; part++) {
			const size_t first = 100, second = 500;
			const size_t expected[] = { first, second };

			records_world_begin(0, ends[e], length);
			memcpy(world.feed + first - length, ends[e], length);
			memcpy(world.feed + second - length, ends[e], length);
			records_write_until(second - length + part);
			filler_flush(world.filler);
			check(world.received == (part == length ? second : first), "%zu bytes",
			      world.received);
			records_write_until(second + 3);
			filler_flush(world.filler);
			if (part < length)
				check_blocks(expected, 2);
			filler_flush(world.filler);
			check(world.received == second && !world.broken, "%zu bytes, %u broken",
			      world.received, world.broken);
			records_world_end();
		}
	}
	point("an end that two reads divide is found, and the rest stays back");
}

/* A record of more than two blocks, which ends some bytes around the end of the second one. */
static void test_large_record(void)
{
	for (size_t e = 0; e < sizeof(ends) / sizeof(ends[0]); e++) {
		size_t length = strlen(ends[e]);

		for (size_t more = 0; more <= length + 1; more++) {
			const size_t large = 2 * BLOCK_SIZE + more, next = large + 2000;
			const size_t expected[] = { BLOCK_SIZE, 2 * BLOCK_SIZE, next };

			records_world_begin(0, ends[e], length);
			memcpy(world.feed + large - length, ends[e], length);
			memcpy(world.feed + next - length, ends[e], length);
			records_write_until(next + 1);
			filler_flush(world.filler);
			check_blocks(expected, 3);
			check(world.broken == 1, "%u broken", world.broken);
			records_world_end();
			/* The end itself is a boundary, too, wherever blocks divide it. */
			records_world_begin(0, ends[e], length);
			memcpy(world.feed + large - length, ends[e], length);
			records_write_until(large);
			filler_flush(world.filler);
			check(world.received == large, "%zu bytes of %zu", world.received, large);
			records_world_end();
		}
	}
	point("a record larger than a block is sent in parts and counted once, and its end is "
	      "found");
}

static void test_flush_waits(void)
{
	records_world_begin(0, "\n", 1);
	records_write_until(100);
	filler_ready(world.filler);
	runloop_ms(world.base, 50);
	check(!world.received, "%zu bytes", world.received);
	world.feed[149] = '\n';
	records_write_until(200);
	filler_ready(world.filler);
	runloop_ms(world.base, 50);
	check(world.received == 150, "%zu bytes", world.received);
	world.feed[249] = '\n';
	records_write_until(250);
	filler_ready(world.filler);
	runloop_ms(world.base, 50);
	check(world.received == 250 && !world.broken, "%zu bytes", world.received);
	records_world_end();
	point("flush hands on whole records, and its timer starts again with the next bytes");
}

static void test_ends_and_runs(void)
{
	records_world_begin(0, "\n", 1);
	world.feed[99] = '\n';
	records_write_until(120);
	filler_end(world.filler);
	check(world.received == 120 && world.block_count == 1 && world.broken == 1,
	      "%zu bytes, %u blocks, %u broken", world.received, world.block_count, world.broken);
	records_world_end();
	point("at the end a record without its end is sent as it is, and counted");

	records_world_begin(0, "\n", 1);
	world.feed[99] = '\n';
	records_write_until(100);
	filler_begin_run(world.filler);
	check(!world.broken, "%u broken", world.broken);
	records_write_until(120);
	filler_begin_run(world.filler);
	check(world.broken == 1, "%u broken", world.broken);
	filler_begin_run(world.filler);
	check(world.broken == 1, "%u broken", world.broken);
	memcpy(world.feed + 100, "y\n", 2);
	world.written = 100;
	records_write_until(102);
	filler_flush(world.filler);
	check(world.received == 102 && !memcmp(world.got + 99, "\ny\n", 3), "%zu bytes",
	      world.received);
	records_world_end();
	point("a new run drops a record without its end, and counts it");

	records_world_begin(0, "\r\n", 2);
	world.feed[99] = '\r';
	records_write_until(100);
	filler_begin_run(world.filler);
	memcpy(world.feed, "\nz\r\n", 4);
	world.written = 0;
	records_write_until(4);
	filler_flush(world.filler);
	check(world.received == 4, "%zu bytes", world.received);
	records_world_end();
	point("no record ends with bytes of two runs");
}

/* All blocks are in use when a record is divided: its rest waits for one. */
static void test_no_free_block(void)
{
	records_world_begin(0, "\n", 1);
	for (uint32_t i = 0; i < BLOCKS; i++)
		world.feed[i * (BLOCK_SIZE - 10) + BLOCK_SIZE - 100] = '\n';
	while (records_write(sizeof(world.feed)))
		;
	check(world.block_count == BLOCKS && world.starved, "%u blocks", world.block_count);
	check(world.written > world.received, "nothing waits");
	records_give_back();
	world.feed[world.written] = '\n';
	check(records_write(1), "still no block");
	filler_flush(world.filler);
	check(world.received == world.written && !memcmp(world.got, world.feed, world.received),
	      "%zu of %zu bytes", world.received, world.written);
	check(!world.broken, "%u broken", world.broken);
	while (records_write(sizeof(world.feed)))
		;
	filler_stop(world.filler);
	check(world.broken == 1, "%u broken", world.broken);
	records_world_end();
	point("with a rest and no free block the source waits, and at the stop the rest is "
	      "counted");
}

/* As above, but the source pauses: whatever it gives afterwards does not belong to that rest. */
static void test_pause_without_block(void)
{
	size_t before;

	records_world_begin(0, "\n", 1);
	for (uint32_t i = 0; i < BLOCKS; i++)
		world.feed[i * (BLOCK_SIZE - 10) + BLOCK_SIZE - 100] = '\n';
	while (records_write(sizeof(world.feed)))
		;
	before = world.received;
	check(filler_pause(world.filler) == world.written - before && world.written > before,
	      "another number of bytes was dropped");
	records_give_back();
	filler_start(world.filler);
	memcpy(world.feed + world.written, "new\n", 4);
	records_write_until(world.written + 4);
	filler_flush(world.filler);
	check(world.received == before + 4 && !memcmp(world.got + before, "new\n", 4), "%zu bytes",
	      world.received - before);
	records_world_end();
	point("a record that a pause has cut is dropped, also if its rest waits for a block");
}

static void test_record_sizes(void)
{
	static const uint64_t sizes[] = { 1, 7, 1000, 2048, 2049, 4095, 4096 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i], whole = BLOCK_SIZE / size * size;

		records_world_begin(size, NULL, 0);
		check(filler_block_bytes(world.filler) == whole, "%zu bytes a block",
		      filler_block_bytes(world.filler));
		records_write_until(3 * whole + size / 2);
		check(world.block_count == 3 && world.received == 3 * whole, "%zu bytes",
		      world.received);
		filler_flush(world.filler);
		check(world.received == 3 * whole, "%zu bytes", world.received);
		records_write_until(3 * whole + size + size / 2);
		filler_flush(world.filler);
		check(world.received == 3 * whole + size, "%zu bytes", world.received);
		check(!world.broken, "%u broken", world.broken);
		filler_begin_run(world.filler);
		check(world.broken == (size > 1), "%u broken", world.broken);
		memset(world.feed + 3 * whole + size, 'n', size);
		world.written = 3 * whole + size;
		records_write_until(3 * whole + 2 * size);
		filler_end(world.filler);
		check(world.received == 3 * whole + 2 * size && world.broken == (size > 1),
		      "%zu bytes, %u broken", world.received, world.broken);
		check(!memcmp(world.got, world.feed, world.received), "other bytes");
		records_world_end();
	}
	point("blocks have whole records of one size, also after flush and in a new run");
}

/* ---- random ---- */

/* Fill the feed with short and long records. Return: which offsets are behind the end of one. */
static const bool *make_feed(struct dice *dice, const char *end, size_t length)
{
	static bool is_boundary[FEED_BYTES + 1];
	size_t at = 0, most = dice_one_in(dice, 2) ? 60 : 3 * BLOCK_SIZE;

	memset(is_boundary, 0, sizeof(is_boundary));
	while (at + most + length < FEED_BYTES) {
		size_t bytes = dice_roll(dice, 0, (uint32_t)most);

		/* Some parts of what ends a record are in the records. */
		for (size_t i = 0; i < bytes; i++)
			world.feed[at + i] = dice_one_in(dice, 2) ? (unsigned char)end[0] : 'x';
		if (length == 1)
			memset(world.feed + at, 'x', bytes);
		at += bytes;
		memcpy(world.feed + at, end, length);
		at += length;
		is_boundary[at] = true;
	}
	memset(world.feed + at, 'x', FEED_BYTES - at);
	return is_boundary;
}

/*
 * Each block must end at a boundary, the last one that fits, or be a full part of a record without any;
 * those that were handed on before they were full end at a boundary that was written by then.
 */
static uint32_t count_splits(const bool *is_boundary)
{
	uint32_t broken = 0;
	size_t begin = 0;
	bool split = false;

	for (uint32_t i = 0; i < world.block_count; i++) {
		size_t end = world.block_end[i];

		if (is_boundary[end]) {
			split = false;
		} else {
			check(end - begin == BLOCK_SIZE, "block %u ends within a record at %zu", i,
			      end);
			for (size_t at = begin + 1; at < end; at++)
				check(!is_boundary[at], "block %u has a boundary at %zu", i, at);
			broken += !split;
			split = true;
		}
		begin = end;
	}
	return broken;
}

static void test_random_records(uint32_t rounds, uint64_t seed)
{
	struct dice dice = { .state = seed };
	uint64_t blocks = 0, broken = 0, starved = 0;

	while (rounds-- && !tap.failed) {
		const char *end = ends[dice_roll(&dice, 0, 3)];
		size_t length = strlen(end), most = dice_one_in(&dice, 2) ? 50 : 2 * BLOCK_SIZE;
		const bool *is_boundary;

		records_world_begin(0, end, length);
		is_boundary = make_feed(&dice, end, length);
		while (world.written < FEED_BYTES - most) {
			if (!records_write(dice_roll(&dice, 1, (uint32_t)most)) ||
			    dice_one_in(&dice, 3))
				records_give_back();
			if (dice_one_in(&dice, 20))
				filler_flush(world.filler);
		}
		filler_flush(world.filler);
		check(!memcmp(world.got, world.feed, world.received), "other bytes");
		check(world.written - world.received <= 3 * BLOCK_SIZE, "%zu bytes are kept",
		      world.written - world.received);
		for (size_t at = world.received + 1; at <= world.written; at++)
			check(!is_boundary[at] || world.written - at < BLOCK_SIZE,
			      "a record is kept");
		check(world.broken == count_splits(is_boundary), "%u broken, expected %u",
		      world.broken, count_splits(is_boundary));
		blocks += world.block_count;
		broken += world.broken;
		starved += world.starved;
		records_world_end();
	}
	printf("# seed %" PRIu64 ": %" PRIu64 " blocks, %" PRIu64 " broken, %" PRIu64
	       " times starved\n",
	       seed, blocks, broken, starved);
	point("blocks end where the model says, whatever the reads and flushes");
}

/* Check that all blocks behind the head at @from end at a record. */
static void check_grid(size_t from, size_t head, size_t size)
{
	for (uint32_t i = 0; i < world.block_count; i++) {
		size_t end = world.block_end[i];

		check(end <= from + head || (end - from - head) % size == 0,
		      "head of %zu: a block ends at %zu, %zu bytes behind a record", head, end,
		      end > from + head ? (end - from - head) % size : 0);
	}
	check(!memcmp(world.got, world.feed, world.received), "other bytes");
}

/* Heads shorter and longer than a block, before records that do and do not divide it. */
static void test_heads(void)
{
	static const size_t head[] = { 1, 44, 4000, 4096, 4100, 10000 };
	static const size_t size[] = { 4, 24, 188, 1000, 4096 };

	for (size_t h = 0; h < sizeof(head) / sizeof(head[0]); h++) {
		for (size_t s = 0; s < sizeof(size) / sizeof(size[0]); s++) {
			size_t all = head[h] + size[s] * (30000 / size[s]);

			records_head = head[h];
			records_world_begin(size[s], NULL, 0);
			for (size_t i = 0; i < sizeof(world.feed); i++)
				world.feed[i] = (unsigned char)(i * 7 + i / 256);
			records_write_until(all);
			filler_end(world.filler);
			check(world.received == all, "%zu bytes, expected %zu", world.received,
			      all);
			check(!world.broken, "%u broken", world.broken);
			check_grid(0, head[h], size[s]);
			records_world_end();
		}
	}
	records_head = 0;
	point("records begin behind the head of a run, which blocks may divide");
}

/* In the second run the grid begins anew; the head may come in parts. */
static void test_head_of_second_run(void)
{
	records_head = 44;
	records_world_begin(24, NULL, 0);
	records_write_until(44 + 24 * 300);
	filler_flush(world.filler);
	check_grid(0, 44, 24);
	filler_begin_run(world.filler);
	world.block_count = 0;
	records_write_until(44 + 24 * 300 + 20);
	filler_flush(world.filler);
	check(world.block_count == 1, "a part of the head waits");
	records_write_until(44 + 24 * 300 + 44 + 30);
	filler_flush(world.filler);
	check(world.received == 44 + 24 * 300 + 44 + 24, "%zu received", world.received);
	records_write_until(44 + 24 * 300 + 44 + 24 * 400);
	filler_end(world.filler);
	check_grid(44 + 24 * 300, 44, 24);
	check(!world.broken, "%u broken", world.broken);
	records_give_back();
	records_world_end();
	records_head = 0;
	point("and again in the next run, also where the head comes in parts");
}

int main(int argc, char **argv)
{
	uint32_t steps = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 20000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	test_split_by_blocks();
	test_split_by_reads();
	test_large_record();
	test_flush_waits();
	test_ends_and_runs();
	test_no_free_block();
	test_pause_without_block();
	test_record_sizes();
	test_heads();
	test_head_of_second_run();
	test_random_records(steps / 50, seed);
	return tap_end();
}
