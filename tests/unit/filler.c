// SPDX-License-Identifier: BSD-2-Clause
/*
 * Usage: filler [STEPS [SEED]]
 *
 * The filler, and the ring in memory behind it: what is written in one block's or several blocks' spaces comes out in
 * that order, and no block is lost on the way.
 */
#include "source/filler.h"

#include "config/option_table.h"
#include "dice.h"
#include "lib/clock.h"
#include "ring/ring_memory.h"
#include "tap.h"

#include <err.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 24U
#define BLOCK_SIZE ((size_t)4096)
#define LOW_WATER 3U

/* The user of the filler: takes blocks, has some of them for a while, and compares each byte with what was written. */
static struct world {
	struct event_base *base;
	struct stream_settings settings;
	struct ring *ring;
	struct filler *filler;
	uint64_t written, received; /* bytes */
	struct block *held[BLOCKS];
	uint32_t held_count;
	uint32_t ready, waits, asked; /* calls */
} world;

static unsigned char filler_test_byte_at(uint64_t offset)
{
	return (unsigned char)(offset * 167 + offset / 256 * 13);
}

static void filler_test_take_filled(void *argument, struct block *block)
{
	(void)argument;
	check(block->length, "an empty block");
	for (uint32_t i = 0; i < block->length; i++)
		if (!check(block->data[i] == filler_test_byte_at(world.received + i), "byte %llu",
			   (unsigned long long)(world.received + i)))
			break;
	world.received += block->length;
	world.held[world.held_count++] = block;
}

static void filler_test_make_room(void *argument)
{
	(void)argument;
	world.asked++;
}

static void filler_test_source_waits(void *argument)
{
	(void)argument;
	world.waits++;
}

static void filler_test_blocks_ready(void *argument)
{
	(void)argument;
	world.ready++;
}

static size_t filler_test_turn(void *argument)
{
	(void)argument;
	return BLOCKS * BLOCK_SIZE;
}

static void filler_test_resume(void *argument)
{
	(void)argument;
}

static void filler_test_begin_world(void)
{
	static const struct source_callbacks callbacks = {
		.block_filled = filler_test_take_filled,
		.make_room = filler_test_make_room,
		.starved = filler_test_source_waits,
		.ready = filler_test_blocks_ready,
		.budget = filler_test_turn,
	};

	memset(&world, 0, sizeof(world));
	option_set_defaults(OPTION_STREAM, &world.settings);
	world.settings.low_water = LOW_WATER;
	world.base = event_base_new();
	world.ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	if (!world.base || !world.ring)
		errx(1, "no ring");
	world.filler = filler_create(world.base, &world.settings, world.ring, &callbacks, NULL,
				     filler_test_resume, NULL);
	if (!world.filler)
		errx(1, "no filler");
}

static void filler_test_give_back(uint32_t most)
{
	while (world.held_count && most--)
		ring_put(world.ring, world.held[--world.held_count]);
}

static void filler_test_end_world(void)
{
	filler_destroy(world.filler);
	filler_test_give_back(BLOCKS);
	check(ring_free_blocks(world.ring) == BLOCKS, "%u of %u blocks are free at the end",
	      ring_free_blocks(world.ring), BLOCKS);
	ring_destroy(world.ring);
	event_base_free(world.base);
}

/* Write the first @bytes of these spaces. */
static void write_into(const struct iovec *space, int count, size_t bytes)
{
	for (int i = 0; i < count && bytes; i++) {
		unsigned char *p = space[i].iov_base;

		for (size_t at = 0; at < space[i].iov_len && bytes; at++, bytes--)
			p[at] = filler_test_byte_at(world.written++);
	}
}

/* Act as a read() of @bytes with space for @most. Return: false without space. */
static bool filler_test_fill(size_t most, size_t bytes)
{
	struct iovec space[FILLER_BLOCKS];
	size_t room = most, sum = 0;
	int count = filler_spaces(world.filler, space, &room);

	for (int i = 0; i < count; i++)
		sum += space[i].iov_len;
	check(count <= FILLER_BLOCKS && sum == room && room <= most, "%d spaces, %zu of %zu bytes",
	      count, sum, room);
	if (!count)
		return false;
	if (bytes > room)
		bytes = room;
	write_into(space, count, bytes);
	if (bytes)
		filler_commit(world.filler, bytes);
	return true;
}

static uint32_t taken(void)
{
	return BLOCKS - ring_free_blocks(world.ring) - world.held_count;
}

static void test_filler_several(void)
{
	filler_test_begin_world();
	filler_test_fill(10 * BLOCK_SIZE, 3 * BLOCK_SIZE + 100);
	check(world.held_count == 3, "%u full blocks", world.held_count);
	check(world.ready == 0, "ready within a turn");
	filler_ready(world.filler);
	check(world.ready == 1, "%u times ready", world.ready);
	check(taken() == 1, "%u blocks are being filled", taken());
	filler_test_fill(BLOCK_SIZE - 100, BLOCK_SIZE);
	check(world.held_count == 4 && world.received == world.written, "the rest of a block");
	filler_ready(world.filler);
	check(taken() == 0, "%u blocks are being filled", taken());
	filler_test_end_world();
	point("several blocks are filled at once, and the empty ones go back");
}

/* What went back comes next: else what follows in the stream would not be next to it in memory. */
static void test_filler_order(void)
{
	struct block *pinned;

	for (int round = 0; round < 2; round++) {
		filler_test_begin_world();
		filler_test_fill(BLOCK_SIZE, BLOCK_SIZE);
		pinned = world.held[0];
		if (round) { /* as by zero-copy */
			block_enter_window(pinned);
			block_pin(pinned);
		}
		for (int i = 0; i < 3; i++) {
			filler_test_fill(6 * BLOCK_SIZE, BLOCK_SIZE);
			filler_ready(world.filler);
		}
		check(world.held_count == 4, "%u blocks", world.held_count);
		for (uint32_t i = 1; i < world.held_count; i++)
			check(world.held[i]->index == world.held[i - 1]->index + 1,
			      "round %d: block %u behind %u", round, world.held[i]->index,
			      world.held[i - 1]->index);
		if (round) {
			block_unpin(pinned);
			world.held[0] =
				world.held[--world.held_count]; /* the window gives it back */
			block_leave_window(pinned);
		}
		filler_test_end_world();
	}
	point("blocks that went back empty are the next to be filled");
}

/* The first byte of a block counts, and both clocks show the same moment. */
static void test_filler_times(void)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	const struct block *block;
	uint64_t before, after, offset;

	filler_test_begin_world();
	before = clock_monotonic_ns();
	filler_test_fill(100, 100);
	after = clock_monotonic_ns();
	nanosleep(&pause, NULL);
	filler_flush(world.filler);
	block = world.held[0];
	check(world.held_count == 1 && block->captured_ns >= before && block->captured_ns <= after,
	      "captured at %llu, expected %llu to %llu", (unsigned long long)block->captured_ns,
	      (unsigned long long)before, (unsigned long long)after);
	check(block->monotonic_ns >= block->captured_ns + (uint64_t)pause.tv_nsec,
	      "handed on at once");
	offset = clock_ns(CLOCK_REALTIME) - clock_monotonic_ns();
	check(llabs((long long)(block->realtime_ns - block->captured_ns - offset)) < 1000000000LL,
	      "the clocks differ by %lld ns",
	      (long long)(block->realtime_ns - block->captured_ns - offset));
	filler_test_end_world();
	point("the time of a block is that of its first byte");
}

static void test_filler_flush(void)
{
	uint64_t give_up = clock_monotonic_ns() + 20 * NS_PER_S;

	filler_test_begin_world();
	world.settings.flush = 1000;
	filler_adapt(world.filler);
	filler_test_fill(100, 100);
	while (!world.received && check(clock_monotonic_ns() < give_up, "nothing comes"))
		event_base_loop(world.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	check(world.received == 100 && world.ready == 1, "%llu bytes, %u times ready",
	      (unsigned long long)world.received, world.ready);
	filler_test_end_world();
	point("bytes that do not fill their block come after the time of flush");
}

static void test_filler_stop(void)
{
	filler_test_begin_world();
	filler_test_fill(100, 100);
	filler_stop(world.filler);
	check(world.received == 100 && world.ready == 1, "%llu bytes, %u times ready",
	      (unsigned long long)world.received, world.ready);
	check(!taken(), "%u blocks are being filled", taken());
	filler_test_end_world();
	point("a source that stops hands on the bytes that it has");
}

static void test_filler_pause(void)
{
	size_t space;

	filler_test_begin_world();
	filler_test_fill(100, 100);
	check(!filler_pause(world.filler) && world.received == 100, "%llu bytes",
	      (unsigned long long)world.received);
	filler_start(world.filler);
	check(filler_space(world.filler, &space) && taken() == 1, "%u blocks", taken());
	filler_pause(world.filler);
	check(!taken(), "%u blocks are being filled", taken());
	filler_test_end_world();
	point("a source that pauses hands on its bytes, and keeps no block");
}

static void test_low_water(void)
{
	filler_test_begin_world();
	filler_test_fill(SIZE_MAX, FILLER_BLOCKS * BLOCK_SIZE);
	check(world.held_count == FILLER_BLOCKS, "%u blocks at once", world.held_count);
	check(world.asked == 0, "asked for room with %u free", ring_free_blocks(world.ring));
	filler_test_fill(SIZE_MAX, SIZE_MAX);
	check(ring_free_blocks(world.ring) == LOW_WATER, "%u free", ring_free_blocks(world.ring));
	for (uint32_t left = LOW_WATER; left; left--) {
		filler_test_fill(SIZE_MAX, SIZE_MAX);
		check(ring_free_blocks(world.ring) == left - 1, "%u free",
		      ring_free_blocks(world.ring));
	}
	check(world.asked == LOW_WATER, "asked for room %u times", world.asked);
	check(!filler_test_fill(SIZE_MAX, SIZE_MAX) && world.waits == 1, "more than the ring has");
	check(world.received == BLOCKS * BLOCK_SIZE, "%llu bytes",
	      (unsigned long long)world.received);
	filler_test_end_world();
	point("at the low-water mark blocks are taken one by one, and room is asked for before "
	      "each");
}

static void test_filler_random(uint32_t steps, uint64_t seed)
{
	struct dice dice = { seed };
	uint32_t most_held = 0;

	filler_test_begin_world();
	while (steps--) {
		size_t space;

		switch (dice_roll(&dice, 0, 7)) {
		case 0:
			filler_test_give_back(dice_roll(&dice, 1, BLOCKS));
			break;
		case 1:
			filler_flush(world.filler);
			break;
		case 2:
			if (filler_space(world.filler, &space))
				filler_test_fill(space, dice_roll(&dice, 0, (uint32_t)space));
			break;
		default:
			filler_test_fill(dice_roll(&dice, 1, 12 * BLOCK_SIZE),
					 dice_roll(&dice, 0, 12 * BLOCK_SIZE));
			break;
		}
		if (dice_one_in(&dice, 2)) {
			filler_ready(world.filler);
			check(taken() <= 1, "%u blocks are being filled", taken());
		}
		if (world.held_count > most_held)
			most_held = world.held_count;
	}
	filler_flush(world.filler);
	check(world.received == world.written, "%llu bytes of %llu",
	      (unsigned long long)world.received, (unsigned long long)world.written);
	check(world.waits && world.asked && most_held == BLOCKS,
	      "%u waits, %u times asked, %u blocks at most", world.waits, world.asked, most_held);
	filler_test_end_world();
	point("at random, seed %llu", (unsigned long long)seed);
}

int main(int argc, char **argv)
{
	uint32_t steps = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 20000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	test_filler_several();
	test_filler_order();
	test_filler_times();
	test_filler_flush();
	test_filler_stop();
	test_filler_pause();
	test_low_water();
	test_filler_random(steps, seed);
	return tap_end();
}
