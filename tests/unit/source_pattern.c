// SPDX-License-Identifier: BSD-2-Clause
/* The pattern source: the number of blocks it makes at once, within the budget allows. */
#include "config/option_table.h"
#include "lib/clock.h"
#include "lib/pattern.h"
#include "lib/units.h"
#include "ring/ring_memory.h"
#include "source/source.h"
#include "tap.h"

#include <endian.h>
#include <err.h>
#include <event2/event.h>
#include <inttypes.h>
#include <string.h>

#define BLOCK_SIZE ((size_t)65536)
#define BLOCKS 16U

/* The user of the source: has no block for longer than a turn. */
static struct world {
	struct event_base *base;
	struct stream_settings settings;
	struct ring *ring;
	struct source *source;
	size_t turn_bytes;
	struct block *held[BLOCKS];
	uint32_t held_count;
	uint64_t turns, blocks;
	uint64_t blocks_before; /* when the last turn began */
	uint64_t rate;		/* of a source whose pace is checked; 0: it is not */
	uint64_t begun_ns[2];	/* the source was started between these times */
	bool caught_up;		/* after the last turn no whole block was due */
	bool expects_block;	/* a block was due when the last turn began, and none before */
	uint64_t full_turns, missed_turns; /* of those that had to make one */
	uint32_t most_blocks;		   /* in a turn */
	unsigned int broken;		   /* records that are not whole */
	uint64_t offset;		   /* that the next block begins with, of PATTERN_OFFSETS */
} world;

static void pattern_test_take_filled(void *argument, struct block *block)
{
	(void)argument;
	check(block->length == BLOCK_SIZE, "%" PRIu32 " bytes", block->length);
	world.held[world.held_count++] = block;
}

static void pattern_test_nothing(void *argument)
{
	(void)argument;
}

/* Return true if a whole block is due by the clock, for a source that was started at @begun_ns. */
static bool is_block_due(uint64_t begun_ns)
{
	uint64_t elapsed_us = (clock_monotonic_ns() - begun_ns) / 1000;

	return elapsed_us * world.rate / 1000000 >= (world.blocks + 1) * BLOCK_SIZE;
}

static void judge_last_turn(void)
{
	if (!world.expects_block)
		return;
	if (world.blocks == world.blocks_before)
		world.missed_turns++;
	else
		world.full_turns++;
}

static size_t pattern_test_turn(void *argument)
{
	(void)argument;
	judge_last_turn();
	world.expects_block = world.rate && world.caught_up && is_block_due(world.begun_ns[1]);
	world.blocks_before = world.blocks;
	world.turns++;
	return world.turn_bytes;
}

static void pattern_test_blocks_ready(void *argument)
{
	(void)argument;
	if (world.held_count > world.most_blocks)
		world.most_blocks = world.held_count;
	world.blocks += world.held_count;
	while (world.held_count)
		ring_put(world.ring, world.held[--world.held_count]);
	world.caught_up = world.rate && !is_block_due(world.begun_ns[0]);
}

static void pattern_test_open_world(uint64_t rate, size_t turn_bytes, enum pattern_form form,
				    uint64_t record_size, const struct source_callbacks *callbacks)
{
	struct event_config *config = event_config_new();

	memset(&world, 0, sizeof(world));
	world.turn_bytes = turn_bytes;
	option_set_defaults(OPTION_STREAM, &world.settings);
	world.settings.pattern = rate;
	world.settings.pattern_form = form;
	world.settings.record_size = record_size;
	/* No more than two blocks are made up for at once. */
	world.settings.ring_size = 4 * BLOCK_SIZE;
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	world.base = event_base_new_with_config(config);
	event_config_free(config);
	world.ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	if (!world.base || !world.ring)
		errx(1, "no ring");
	world.source = source_open(world.base, &world.settings, world.ring, NULL, callbacks, NULL);
	if (!world.source)
		errx(1, "no source");
}

static void pattern_test_begin_world(uint64_t rate, size_t turn_bytes)
{
	static const struct source_callbacks callbacks = {
		.block_filled = pattern_test_take_filled,
		.make_room = pattern_test_nothing,
		.starved = pattern_test_nothing,
		.ready = pattern_test_blocks_ready,
		.budget = pattern_test_turn,
	};

	pattern_test_open_world(rate, turn_bytes, PATTERN_RESIDENT, 0, &callbacks);
	source_start(world.source);
}

static void pattern_test_end_world(void)
{
	source_close(world.source);
	check(ring_free_blocks(world.ring) == BLOCKS,
	      "%" PRIu32 " of %u blocks are free at the end", ring_free_blocks(world.ring), BLOCKS);
	ring_destroy(world.ring);
	event_base_free(world.base);
}

static void run_turns(uint64_t turns)
{
	while (world.turns < turns)
		event_base_loop(world.base, EVLOOP_ONCE);
}

/* Check that 100 turns of @turn_bytes make @blocks, at most @most_blocks of them in one. */
static void check_turns(size_t turn_bytes, uint32_t most_blocks, uint64_t blocks)
{
	pattern_test_begin_world(UNITS_RATE_MAX, turn_bytes);
	run_turns(100);
	check(world.most_blocks == most_blocks, "%" PRIu32 " blocks in a turn", world.most_blocks);
	check(world.blocks == blocks, "%" PRIu64 " blocks in %" PRIu64 " turns", world.blocks,
	      world.turns);
	pattern_test_end_world();
}

static void test_whole_blocks(void)
{
	check_turns(5 * BLOCK_SIZE + 1, 5, 500);
	point("several blocks in a turn");
}

/* A client that receives exactly one budget at a time keeps up with the source. */
static void test_large_blocks(void)
{
	check_turns(BLOCK_SIZE / 4 * 3, 1, 75);
	point("a block that is more than a turn takes several");
}

/* Let 21 turns pass, each of them with less than a block. */
static void run_paced_turns(void)
{
	uint64_t begun_ns = clock_monotonic_ns();

	pattern_test_begin_world(50 * BLOCK_SIZE, BLOCK_SIZE / 4 * 3);
	world.begun_ns[0] = begun_ns;
	world.begun_ns[1] = clock_monotonic_ns();
	world.rate = world.settings.pattern;
	run_turns(21);
	pattern_test_end_world();
}

/*
 * By the clock, so that it does not matter when the turns come: while the source is behind, its budget limits it. A
 * turn that begins a little too early or too late to be sure says nothing, so there are more of them.
 */
static void test_paced(void)
{
	uint64_t full = 0, missed = 0;

	for (int i = 0; i < 20 && full < 20; i++) {
		run_paced_turns();
		full += world.full_turns;
		missed += world.missed_turns;
	}
	check(full && !missed, "%" PRIu64 " turns made the block that was due, %" PRIu64 " did not",
	      full, missed);
	point("but a block that is due does not wait for the budget, too");
}

/* ---- pauses ---- */

/* The next block must begin where the one before it ended. */
static void pattern_test_check_offset(void *argument, struct block *block)
{
	uint64_t first;

	(void)argument;
	memcpy(&first, block->data, sizeof(first));
	check(le64toh(first) == world.offset, "offset %" PRIu64 ", expected %" PRIu64,
	      le64toh(first), world.offset);
	world.offset += block->length;
	world.held[world.held_count++] = block;
}

static void pattern_test_broken(void *argument)
{
	(void)argument;
	world.broken++;
}

/* Run ten times. Each run ends within a block, and with records of 24 bytes within one. */
static void check_pauses(uint64_t record_size)
{
	static const struct source_callbacks callbacks = {
		.block_filled = pattern_test_check_offset,
		.record_broken = pattern_test_broken,
		.make_room = pattern_test_nothing,
		.starved = pattern_test_nothing,
		.ready = pattern_test_blocks_ready,
		.budget = pattern_test_turn,
	};

	pattern_test_open_world(UNITS_RATE_MAX, BLOCK_SIZE + 5 * sizeof(uint64_t), PATTERN_OFFSETS,
				record_size, &callbacks);
	for (int run = 1; run <= 10; run++) {
		uint64_t blocks = world.blocks;

		source_start(world.source);
		run_turns(world.turns + 3);
		source_pause(world.source);
		check(world.blocks > blocks, "no block in run %d", run);
		check(source_state(world.source, UINT64_MAX) == SOURCE_WAITING, "it does not wait");
		check(ring_free_blocks(world.ring) == BLOCKS, "a block is not free");
		check(!world.broken, "%u records are counted", world.broken);
		check(!record_size || world.offset % record_size == 0, "a part of a record");
		blocks = world.blocks;
		source_adapt(world.source);
		event_base_loop(world.base, EVLOOP_NONBLOCK);
		check(world.blocks == blocks, "it goes on");
	}
	pattern_test_end_world();
}

static void test_pattern_pauses(void)
{
	check_pauses(0);
	check_pauses(24);
	point("offsets go on after a pause, also where it drops a part of a record");
}

int main(void)
{
	test_whole_blocks();
	test_large_blocks();
	test_paced();
	test_pattern_pauses();
	return tap_end();
}
