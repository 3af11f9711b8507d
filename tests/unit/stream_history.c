// SPDX-License-Identifier: BSD-2-Clause
/*
 * History on a real ring: how much of it is kept, that it gives way to a source that waits, and where a client begins
 * for each kind of start, compared with a search of all blocks.
 */
#include "stream/stream_history.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "ring/ring_memory.h"

#include "dice.h"
#include "tap.h"

#include <err.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 4096U
#define BLOCKS 4096U
#define SECOND_NS 1000000000ULL
#define PATIENCE_NS (20 * SECOND_NS)

static char stream_name_text[] = "test";

static struct world {
	struct event_base *base;
	struct stream_settings settings;
	struct ring *ring;
	struct window *window;
	struct stream_frames frames;
	struct stream_preamble preamble;
	struct stream_history history;
	unsigned int notified;
	uint64_t begin_ns; /* when blocks with an age of 0 are captured */
} world;

static void history_world_begin(struct lag_limit retain, uint64_t preamble)
{
	memset(&world, 0, sizeof(world));
	world.settings.name = stream_name_text;
	world.settings.block_size = BLOCK_SIZE;
	world.settings.ring_size = (uint64_t)BLOCKS * BLOCK_SIZE;
	world.settings.retain = retain;
	world.settings.preamble.bytes = preamble;
	world.base = event_base_new();
	world.ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	world.window = window_create(BLOCKS);
	if (!world.base || !world.ring || !world.window ||
	    !stream_frames_init(&world.frames, &world.settings) ||
	    !stream_preamble_init(&world.preamble, &world.settings))
		errx(1, "no memory");
	stream_history_init(&world.history, world.base, &world.settings, world.window,
			    &world.frames, &world.preamble);
	world.begin_ns = clock_monotonic_ns();
}

static void history_world_end(void)
{
	stream_history_close(&world.history);
	window_destroy(world.window);
	check(ring_free_blocks(world.ring) == BLOCKS, "%u blocks are free",
	      ring_free_blocks(world.ring));
	ring_destroy(world.ring);
	stream_frames_free(&world.frames);
	stream_preamble_free(&world.preamble);
	event_base_free(world.base);
}

static void history_world_retain(struct lag_limit retain)
{
	world.settings.retain = retain;
	stream_history_adapt(&world.history);
}

/* @age_ns: at world.begin_ns */
static void history_world_push_aged(uint32_t length, uint64_t age_ns)
{
	struct block *block = ring_take(world.ring);

	if (!block)
		errx(1, "no free block");
	block->length = length;
	block->captured_ns = world.begin_ns - age_ns;
	memset(block->data, 'x', length);
	stream_frames_write(&world.frames, block, window_head(world.window),
			    window_bytes(world.window));
	stream_preamble_add(&world.preamble, block, window_bytes(world.window));
	window_push(world.window, block);
}

static void history_world_push(uint32_t blocks, uint32_t length)
{
	for (uint32_t i = 0; i < blocks; i++)
		history_world_push_aged(length, 0);
}

static uint32_t history_world_retained(void)
{
	uint64_t bytes;

	return window_retained(world.window, &bytes);
}

static struct history_answer answer;

static enum history_result find(const char *text)
{
	struct client_start start;
	const char *expected;

	if (!client_start_parse(text, true, &start, &expected))
		errx(1, "%s", text);
	return stream_history_find(&world.history, &start, &answer);
}

static void expect_place(const char *text, uint64_t sequence)
{
	check(find(text) == HISTORY_FOUND && answer.place.sequence == sequence &&
		      !answer.place.resumes,
	      "%s: at %" PRIu64 ", expected %" PRIu64, text, answer.place.sequence, sequence);
}

static enum history_result resume(uint32_t epoch, uint64_t sequence)
{
	const struct client_start start = { .kind = CLIENT_START_AFTER,
					    .after = { epoch, sequence } };

	return stream_history_find(&world.history, &start, &answer);
}

static void expect_resumed(uint32_t epoch, uint64_t sequence)
{
	check(resume(epoch, sequence) == HISTORY_FOUND, "%" PRIu64 " is not found", sequence);
	check(answer.place.sequence == sequence + 1 && answer.place.resumes, "at %" PRIu64,
	      answer.place.sequence);
}

/* ---- without blocks, and without retain ---- */

static void test_empty(void)
{
	struct cursor slow = { 0 };

	history_world_begin((struct lag_limit){ 0 }, 0);
	expect_place("live", 0);
	expect_place("oldest", 0);
	expect_place("-1M", 0);
	expect_place("-1h", 0);
	check(resume(world.frames.epoch, 0) == HISTORY_CONFLICT, "block 0 has not come");
	check(answer.oldest.epoch == world.frames.epoch && answer.oldest.sequence == 0,
	      "oldest %" PRIx32 ":%" PRIu64, answer.oldest.epoch, answer.oldest.sequence);
	point("before the first block every client begins with it");

	history_world_push(4, 100);
	check(!history_world_retained(), "%u retained", history_world_retained());
	expect_place("oldest", 4);
	expect_place("-1M", 4);
	window_join(world.window, &slow, window_head(world.window));
	history_world_push(4, 100);
	expect_place("oldest", 4);
	expect_place("-150", 6);
	expect_place("live", 8);
	window_leave(world.window, &slow);
	expect_place("oldest", 8);
	history_world_end();
	point("without retain there is what other clients still need");
}

/* ---- sizes ---- */

/* Return the sequence of the block that has the byte @bytes before the end, by a look at each block. */
static uint64_t naive_place(uint64_t bytes)
{
	uint64_t sequence = window_head(world.window), left = bytes;

	while (left && sequence > window_oldest(world.window)) {
		uint32_t length = window_block_at(world.window, --sequence)->length;

		left -= length < left ? length : left;
	}
	return sequence;
}

static void test_sizes(void)
{
	history_world_begin((struct lag_limit){ .bytes = 1000 }, 0);
	history_world_push(10, 300);
	check(history_world_retained() == 4, "%u blocks", history_world_retained());
	history_world_push(1, 1);
	check(history_world_retained() == 5, "%u blocks", history_world_retained());
	history_world_push(1, 99);
	check(history_world_retained() == 5 && window_oldest(world.window) == 7, "%u blocks",
	      history_world_retained());
	point("retain = SIZE: each block with one of the last bytes is kept, and no other");

	expect_place("oldest", 7);
	expect_place("-1000", 7);
	expect_place("-1M", 7);
	expect_place("-700", 8);
	expect_place("-701", 7);
	expect_place("-100", 10);
	expect_place("-101", 9);
	expect_place("-99", 11);
	expect_place("-1", 11);
	expect_place("live", 12);
	history_world_end();
	point("-SIZE: the block with that byte before the end");
}

static void test_random_sizes(void)
{
	struct dice dice = { .state = 3 };

	history_world_begin((struct lag_limit){ .bytes = 1 << 20 }, 0);
	for (int i = 0; i < 2000; i++) {
		uint64_t bytes = dice_roll(&dice, 1, 1 << 20);
		const struct client_start start = { .kind = CLIENT_START_BYTES, .bytes = bytes };

		history_world_push(1, dice_roll(&dice, 1, BLOCK_SIZE));
		check(stream_history_find(&world.history, &start, &answer) == HISTORY_FOUND &&
			      answer.place.sequence == naive_place(bytes),
		      "-%" PRIu64 ": at %" PRIu64 ", expected %" PRIu64, bytes,
		      answer.place.sequence, naive_place(bytes));
		check(window_oldest(world.window) == naive_place(1 << 20), "from %" PRIu64,
		      window_oldest(world.window));
	}
	history_world_end();
	point("both agree with a search of all blocks");
}

/* A slow client holds more than what is retained: the others do not get it, but it can resume. */
static void test_beyond_retain(void)
{
	struct cursor slow = { 0 };

	history_world_begin((struct lag_limit){ .bytes = 1000 }, 0);
	window_join(world.window, &slow, window_head(world.window));
	history_world_push(20, 100);
	expect_place("oldest", 10);
	expect_place("-1500", 10);
	expect_resumed(world.frames.epoch, 3);
	check(answer.oldest.sequence == 0, "oldest %" PRIu64, answer.oldest.sequence);
	window_leave(world.window, &slow);
	check(window_oldest(world.window) == 10, "from %" PRIu64, window_oldest(world.window));
	check(resume(world.frames.epoch, 3) == HISTORY_GONE, "not gone");
	history_world_end();
	point("what only a slow client needs is no history, but a client may resume there");
}

/* ---- times ---- */

/* @age_us: of the start */
static void expect_place_of_age(uint64_t age_us, uint64_t sequence)
{
	const struct client_start start = { .kind = CLIENT_START_AGE, .microseconds = age_us };

	check(stream_history_find(&world.history, &start, &answer) == HISTORY_FOUND &&
		      answer.place.sequence == sequence,
	      "-%" PRIu64 "us: at %" PRIu64 ", expected %" PRIu64, age_us, answer.place.sequence,
	      sequence);
}

/* Blocks of the ages 100, 99, ... 1. The unit is long, so that this takes less than one, but since the boot of the
 * machine there were more than a hundred. */
static void test_times(void)
{
	uint64_t unit_us = clock_monotonic_ns() / 200000;

	history_world_begin((struct lag_limit){ .microseconds = 60 * unit_us }, 0);
	for (uint64_t age = 100; age; age--)
		history_world_push_aged(100, age * unit_us * 1000);
	check(history_world_retained() == 59, "%u blocks", history_world_retained());
	expect_place("oldest", 41);
	expect_place_of_age(10 * unit_us, 91);
	expect_place_of_age(unit_us * 3 / 2, 99);
	expect_place_of_age(59 * unit_us, 42);
	expect_place_of_age(70 * unit_us, 41);
	expect_place_of_age(UINT64_MAX, 41);
	expect_place_of_age(unit_us, 100);
	history_world_end();
	point("retain = TIME and -TIME: the first block that is not older");
}

static void test_silent_history(void)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS;

	history_world_begin((struct lag_limit){ .microseconds = 300000 }, 0);
	for (int i = 0; i < 50; i++)
		history_world_push_aged(100, 0);
	check(history_world_retained() == 50, "%u blocks", history_world_retained());
	while (history_world_retained() && check(clock_monotonic_ns() < give_up, "blocks stay"))
		event_base_loop(world.base, EVLOOP_ONCE);
	check(clock_monotonic_ns() - world.begin_ns >= 300000000, "too early");
	check(!evtimer_pending(&world.history.timer, NULL), "the timer goes on");
	point("old blocks go although no other one comes, and then the timer rests");

	world.begin_ns = clock_monotonic_ns();
	history_world_push_aged(100, 0);
	while (clock_monotonic_ns() <= world.begin_ns + 300000000)
		;
	expect_place("oldest", 51);
	check(history_world_retained() == 1, "released, so this shows nothing");
	history_world_end();
	point("nobody begins with one that is too old, even before the timer has come");
}

/* ---- epochs ---- */

static void test_resume(void)
{
	uint32_t first, second;

	history_world_begin((struct lag_limit){ .bytes = 1000 }, 0);
	first = world.frames.epoch;
	history_world_push(5, 100);
	stream_frames_begin_epoch(&world.frames);
	second = world.frames.epoch;
	expect_resumed(first, 4);
	check(resume(second, 4) == HISTORY_CONFLICT, "of the epoch that has no block yet");
	history_world_push(10, 100);
	check(window_oldest(world.window) == 5, "from %" PRIu64, window_oldest(world.window));
	check(resume(first, 3) == HISTORY_GONE, "not gone");
	check(answer.oldest.epoch == second && answer.oldest.sequence == 5,
	      "oldest %" PRIx32 ":%" PRIu64, answer.oldest.epoch, answer.oldest.sequence);
	expect_resumed(first, 4);
	check(resume(second, 4) == HISTORY_CONFLICT, "a gone block of another epoch");
	check(resume(second, 0) == HISTORY_CONFLICT, "a gone block of another epoch");
	expect_resumed(second, 5);
	expect_resumed(second, 13);
	expect_resumed(second, 14);
	check(answer.place.sequence == window_head(world.window), "not live");
	check(resume(first, 5) == HISTORY_CONFLICT, "a block of another epoch");
	check(resume(second, 15) == HISTORY_CONFLICT, "a block that has not come");
	check(resume(second, UINT64_MAX) == HISTORY_CONFLICT, "a block that has not come");
	check(resume(0, 7) == HISTORY_CONFLICT, "epoch 0");
	history_world_end();
	point("EPOCH:SEQUENCE: the block after it, a conflict, or gone");
}

static void test_epochs(void)
{
	uint32_t epoch[2 * FRAMES_RUNS];

	history_world_begin((struct lag_limit){ .bytes = 1000 }, 0);
	for (uint64_t i = 0; i < 2 * FRAMES_RUNS; i++) {
		epoch[i] = world.frames.epoch;
		history_world_push(1, 100);
		stream_frames_begin_epoch(&world.frames);
		stream_frames_begin_epoch(&world.frames); /* one without a block */
	}
	check(resume(epoch[0], 0) == HISTORY_GONE, "the first one");
	check(resume(epoch[FRAMES_RUNS], FRAMES_RUNS) == HISTORY_GONE, "one that is remembered");
	check(resume(epoch[FRAMES_RUNS] + 1, FRAMES_RUNS) == HISTORY_CONFLICT,
	      "another one in its place");
	for (uint64_t i = 2 * FRAMES_RUNS - 11; i < 2 * FRAMES_RUNS; i++)
		expect_resumed(epoch[i], i);
	history_world_end();
	point("epochs of blocks that are gone are remembered, but not without limit");
}

static void test_forgotten_epoch(void)
{
	uint32_t first;

	history_world_begin((struct lag_limit){ .bytes = (FRAMES_RUNS + 10) * 100 }, 0);
	first = world.frames.epoch;
	for (uint64_t i = 0; i < FRAMES_RUNS + 10; i++) {
		history_world_push(1, 100);
		stream_frames_begin_epoch(&world.frames);
	}
	expect_resumed(first, 0);
	history_world_push(1, 100);
	check(window_oldest(world.window) == 1, "from %" PRIu64, window_oldest(world.window));
	check(resume(first, 0) == HISTORY_GONE, "its epoch is forgotten, but not gone");
	history_world_end();
	point("a block that is there says its epoch itself; of a forgotten one nothing is claimed");
}

/* ---- a relay ---- */

/* Push a block that the origin has numbered. */
static void history_world_relay(uint32_t epoch, uint64_t sequence, bool restarts)
{
	const struct frame frame = {
		.length = 100,
		.epoch = epoch,
		.sequence = sequence,
		.position = sequence * 100,
	};

	stream_frames_follow(&world.frames, &frame, restarts, window_head(world.window),
			     window_bytes(world.window));
	history_world_push(1, 100);
}

static void expect_relayed(uint32_t epoch, uint64_t sequence, uint64_t place)
{
	check(resume(epoch, sequence) == HISTORY_FOUND, "%" PRIu64 " is not found", sequence);
	check(answer.place.sequence == place && answer.place.resumes, "at %" PRIu64,
	      answer.place.sequence);
}

static void test_relay_resume(void)
{
	history_world_begin((struct lag_limit){ .bytes = 1000 }, 0);
	world.frames.is_relay = true;
	for (uint64_t i = 100; i < 120; i++)
		history_world_relay(7, i, false);
	check(window_oldest(world.window) == 10, "from %" PRIu64, window_oldest(world.window));
	expect_relayed(7, 119, 20);
	expect_relayed(7, 112, 13);
	expect_relayed(7, 109, 10);
	check(resume(7, 108) == HISTORY_GONE, "not gone");
	check(answer.oldest.epoch == 7 && answer.oldest.sequence == 110, "oldest %" PRIu64,
	      answer.oldest.sequence);
	check(resume(7, 120) == HISTORY_CONFLICT, "a block that has not come");
	check(resume(8, 112) == HISTORY_CONFLICT, "a block of another epoch");
	point("a relay: a client resumes by the numbers of the origin, to the oldest block");

	for (uint64_t i = 0; i < 3; i++)
		history_world_relay(9, i, i == 0);
	expect_relayed(7, 117, 18);
	check(answer.place.end == 20, "its end is %" PRIu64, answer.place.end);
	expect_relayed(9, 1, 22);
	check(!answer.place.end, "its end is %" PRIu64, answer.place.end);
	check(resume(7, 111) == HISTORY_CONFLICT, "a block that is gone, before another count");
	check(answer.oldest.epoch == 9 && answer.oldest.sequence == 0, "oldest %" PRIx32,
	      answer.oldest.epoch);
	history_world_end();
	point("a relay whose origin began again: a client gets the rest of the former count");
}

/* ---- the preamble ---- */

static void test_with_preamble(void)
{
	history_world_begin((struct lag_limit){ .bytes = 100000 }, 150);
	history_world_push(5, 100);
	expect_place("oldest", 0);
	stream_preamble_begin_run(&world.preamble);
	expect_place("oldest", 0);
	history_world_push(3, 100);
	expect_place("oldest", 5);
	expect_place("-250", 5);
	expect_place("-200", 6);
	expect_resumed(world.frames.epoch, 2);
	history_world_end();
	point("with a preamble in bytes, only who resumes goes back beyond the last run");
}

/* ---- giving way ---- */

static void count_notice(void *argument)
{
	(void)argument;
	world.notified++;
}

static void test_waiting_source(void)
{
	struct cursor slow = { 0 };
	struct block *taken[2];

	history_world_begin((struct lag_limit){ .bytes = (uint64_t)BLOCKS * BLOCK_SIZE }, 0);
	ring_on_free(world.ring, 3, count_notice, NULL);
	window_join(world.window, &slow, window_head(world.window));
	history_world_push(BLOCKS - 2, 100);
	taken[0] = ring_take(world.ring);
	taken[1] = ring_take(world.ring);
	window_advance(world.window, &slow, 1000);
	check(history_world_retained() == 10 && !ring_free_blocks(world.ring), "%u retained",
	      history_world_retained());
	for (int i = 0; i < 10; i++)
		check(window_release_oldest(world.window), "block %d stays", i);
	for (int i = 0; i < 10; i++)
		history_world_push(1, 100);
	check(!ring_take(world.ring), "a free block");
	window_advance(world.window, &slow, 200);
	check(ring_free_blocks(world.ring) == 2 && !world.notified && !history_world_retained(),
	      "%u free", ring_free_blocks(world.ring));
	window_advance(world.window, &slow, 500);
	check(world.notified == 1 && ring_free_blocks(world.ring) == 3 &&
		      history_world_retained() == 4,
	      "%u times, %u free, %u retained", world.notified, ring_free_blocks(world.ring),
	      history_world_retained());
	window_leave(world.window, &slow);
	ring_put(world.ring, taken[0]);
	ring_put(world.ring, taken[1]);
	history_world_end();
	point("while the source waits, blocks are not kept; afterwards they are");
}

static void test_changed_retain(void)
{
	unsigned int turns = 0;

	history_world_begin((struct lag_limit){ .bytes = (uint64_t)BLOCKS * BLOCK_SIZE }, 0);
	history_world_push(4000, 1000);
	check(history_world_retained() == 4000, "%u blocks", history_world_retained());
	history_world_retain((struct lag_limit){ .bytes = 1000000 });
	expect_place("oldest", 3000);
	history_world_push(1, 1000);
	check(history_world_retained() == 4001, "%u blocks", history_world_retained());
	while (history_world_retained() > 1000 && turns++ < 100)
		event_base_loop(world.base, EVLOOP_ONCE);
	check(history_world_retained() == 1000 && turns >= 3, "%u blocks after %u turns",
	      history_world_retained(), turns);
	history_world_push(1, 1000);
	check(history_world_retained() == 1000, "%u blocks", history_world_retained());
	point("less is kept at once for clients, and some blocks at a time are released");

	history_world_retain((struct lag_limit){ 0 });
	event_base_loop(world.base, EVLOOP_ONCE);
	check(!history_world_retained(), "%u blocks", history_world_retained());
	history_world_push(10, 1000);
	check(!history_world_retained(), "%u blocks", history_world_retained());
	history_world_retain((struct lag_limit){ .bytes = 1 });
	history_world_push(10, 1000);
	check(history_world_retained() == 1, "%u blocks", history_world_retained());
	history_world_end();
	point("nothing is kept any more, and something again");
}

int main(void)
{
	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	test_empty();
	test_sizes();
	test_random_sizes();
	test_beyond_retain();
	test_times();
	test_silent_history();
	test_resume();
	test_epochs();
	test_forgotten_epoch();
	test_relay_resume();
	test_with_preamble();
	test_waiting_source();
	test_changed_retain();
	return tap_end();
}
