// SPDX-License-Identifier: BSD-2-Clause
/*
 * Usage: completion [STEPS [SEED]]
 *
 * Compare the records of sends with a naive model after every step: a table of every send with the blocks
 * that it pinned, and a pin count for each block.
 */
#include "send/completion.h"
#include "stream/window.h"

#include "fakering.h"

#include <inttypes.h>
#include <stdlib.h>

#define MAX_BLOCKS 6U /* of one send */
#define SPAN 6000U    /* numbers from the oldest outstanding one on */
#define SLOTS 8192U   /* more than SPAN, so that outstanding sends never share a slot */
#define ALL_NUMBERS (1ULL << 32)
#define NOW 5000000U

struct send {
	bool outstanding;
	uint32_t number, blocks, whole_blocks;
	uint32_t block[MAX_BLOCKS]; /* index in the ring */
};

static struct world {
	/* The code under test and its data. One cursor keeps blocks in the window. */
	struct completions completions;
	struct histogram latency;
	struct ring ring;
	struct window *window;
	struct cursor cursor;
	/* The model. */
	struct send sent[SLOTS];
	uint32_t lowest, next, outstanding;
	uint64_t whole_blocks; /* of complete sends */
	uint32_t pins[FAKE_BLOCKS];
	struct block *queue[FAKE_BLOCKS]; /* in the window, the oldest first */
	uint32_t queued;
	/* Coverage of the random run. */
	uint32_t most_outstanding, wraps;
} world;

static void sends_begin(uint32_t start)
{
	completions_init(&world.completions);
	world.completions.oldest = world.completions.next = start;
	world.lowest = world.next = start;
}

static void sends_begin_world(uint32_t start)
{
	memset(&world, 0, sizeof(world));
	fake_ring_init(&world.ring);
	world.window = window_create(FAKE_BLOCKS);
	window_join(world.window, &world.cursor, window_head(world.window));
	sends_begin(start);
}

static struct send *send_of(uint32_t number)
{
	return &world.sent[number % SLOTS];
}

static bool is_outstanding(uint32_t number)
{
	return send_of(number)->outstanding && send_of(number)->number == number;
}

/* ---- each step, in the model and in the code under test ---- */

static void sends_push(struct dice *dice)
{
	struct block *block = fake_ring_take(&world.ring, dice);

	window_push(world.window, block);
	world.queue[world.queued++] = block;
}

/* Remove the oldest block from the window. */
static void sends_pop(void)
{
	window_advance(world.window, &world.cursor, world.queue[0]->length);
	memmove(world.queue, world.queue + 1, --world.queued * sizeof(world.queue[0]));
}

static void send_blocks(uint32_t at, uint32_t blocks)
{
	struct send *send = send_of(world.next);

	*send = (struct send){ .outstanding = true, .number = world.next++, .blocks = blocks };
	send->whole_blocks = blocks - send->number % 2; /* every other send ends within a block */
	for (uint32_t i = 0; i < blocks; i++) {
		send->block[i] = world.queue[at + i]->index;
		world.pins[send->block[i]]++;
	}
	world.outstanding++;
	check(completions_reserve(&world.completions), "no memory");
	completions_add(&world.completions, world.queue[at], blocks, send->whole_blocks);
}

static void model_release(struct send *send)
{
	send->outstanding = false;
	world.whole_blocks += send->whole_blocks;
	world.outstanding--;
	for (uint32_t i = 0; i < send->blocks; i++)
		world.pins[send->block[i]]--;
}

/* Return how many of the numbers were not outstanding. */
static uint64_t model_complete(uint32_t low, uint32_t high)
{
	uint64_t count = high >= low ? (uint64_t)high - low + 1 : ALL_NUMBERS - low + high + 1;
	uint64_t found = 0;

	if (count > SLOTS) {
		for (uint32_t i = 0; i < SLOTS; i++) {
			uint32_t number = world.sent[i].number;

			if (world.sent[i].outstanding &&
			    (high >= low ? number >= low && number <= high
					 : number >= low || number <= high)) {
				model_release(&world.sent[i]);
				found++;
			}
		}
	} else {
		for (uint64_t i = 0; i < count; i++) {
			if (is_outstanding((uint32_t)(low + i))) {
				model_release(send_of((uint32_t)(low + i)));
				found++;
			}
		}
	}
	while (world.lowest != world.next && !is_outstanding(world.lowest))
		world.lowest++;
	return count - found;
}

static void complete(uint32_t low, uint32_t high)
{
	uint64_t wrong = completions_complete(&world.completions, low, high, &world.latency, NOW);
	uint64_t expected = model_complete(low, high);

	check(wrong == expected, "[%u, %u] returned %" PRIu64 ", expected %" PRIu64, low, high,
	      wrong, expected);
}

static void sends_compare(void)
{
	const struct completions *completions = &world.completions;
	int pinned = 0, pinned_only = 0;

	check(completions->outstanding == world.outstanding, "%u outstanding, expected %u",
	      completions->outstanding, world.outstanding);
	check(completions->next == world.next, "next is %u, expected %u", completions->next,
	      world.next);
	check(completions->oldest == world.lowest, "oldest is %u, expected %u", completions->oldest,
	      world.lowest);
	for (uint32_t i = 0; i < FAKE_BLOCKS; i++) {
		const struct block *block = &world.ring.block[i];
		bool queued = false;

		for (uint32_t q = 0; q < world.queued; q++)
			queued |= world.queue[q] == block;
		check(block->pins == world.pins[i], "block %u has %u pins, expected %u", i,
		      block->pins, world.pins[i]);
		check(world.ring.is_free[i] == (!queued && !world.pins[i]),
		      "block %u: free %d, in the window %d, %u pins", i, world.ring.is_free[i],
		      queued, world.pins[i]);
		pinned += world.pins[i] != 0;
		pinned_only += world.pins[i] && !queued;
	}
	check(histogram_count(&world.latency) == world.whole_blocks,
	      "latency of %" PRIu64 " blocks, expected %" PRIu64, histogram_count(&world.latency),
	      world.whole_blocks);
	check(world.ring.pinned_only_blocks == pinned_only, "%d pinned only, expected %d",
	      world.ring.pinned_only_blocks, pinned_only);
	check(world.ring.pinned_blocks == pinned, "%d pinned blocks, expected %d",
	      world.ring.pinned_blocks, pinned);
}

static void sends_end_world(void)
{
	if (world.outstanding)
		complete(world.lowest, world.next - 1);
	while (world.queued)
		sends_pop();
	sends_compare();
	check(world.ring.free_blocks == FAKE_BLOCKS, "%u blocks came back", world.ring.free_blocks);
	window_leave(world.window, &world.cursor);
	window_destroy(world.window);
	completions_free(&world.completions);
}

/* ---- examples ---- */

struct range {
	uint32_t low, high;
	uint64_t wrong; /* numbers in the range that are not outstanding */
};

#define NEAR_WRAP 0xfffffffeU

/* The sends have the numbers start, start + 1, ... */
static const struct example {
	const char *title;
	uint32_t start, sends;
	uint32_t ranges;
	struct range range[6];
	uint32_t left;
} examples[] = {
	{ "in order", 0, 3, 3, { { 0, 0, 0 }, { 1, 1, 0 }, { 2, 2, 0 } }, 0 },
	{ "merged", 0, 5, 2, { { 0, 2, 0 }, { 3, 4, 0 } }, 0 },
	{ "[1,3] before [0,0]", 0, 4, 2, { { 1, 3, 0 }, { 0, 0, 0 } }, 0 },
	{ "backwards", 7, 3, 3, { { 9, 9, 0 }, { 8, 8, 0 }, { 7, 7, 0 } }, 0 },
	{ "every other one, then the rest", 0, 5, 3, { { 1, 1, 0 }, { 3, 3, 0 }, { 0, 4, 2 } }, 0 },
	{ "the same again, oldest outstanding", 0, 4, 2, { { 1, 2, 0 }, { 1, 2, 2 } }, 2 },
	{ "the same again, nothing outstanding", 0, 2, 2, { { 0, 1, 0 }, { 0, 1, 2 } }, 0 },
	{ "the same again, overlapping", 0, 4, 2, { { 0, 1, 0 }, { 0, 2, 2 } }, 1 },
	{ "before anything was sent", 5, 0, 2, { { 5, 5, 1 }, { 0, 4, 5 } }, 0 },
	{ "before the oldest", 100, 3, 2, { { 99, 99, 1 }, { 0, 99, 100 } }, 3 },
	{ "beyond next", 100, 3, 2, { { 103, 103, 1 }, { 103, UINT32_MAX, 0xffffff99U } }, 3 },
	{ "partly before the oldest", 100, 3, 1, { { 98, 100, 2 } }, 2 },
	{ "partly beyond next", 100, 3, 1, { { 102, 110, 8 } }, 2 },
	{ "outside on both sides", 100, 3, 1, { { 50, 149, 97 } }, 0 },
	{ "more than 2^31 numbers", 100, 3, 1, { { 101, 100U + (1U << 31), (1U << 31) - 2 } }, 1 },
	{ "across the wrap", NEAR_WRAP, 4, 1, { { NEAR_WRAP, 1, 0 } }, 0 },
	{ "up to the wrap, then on",
	  NEAR_WRAP,
	  4,
	  2,
	  { { NEAR_WRAP, UINT32_MAX, 0 }, { 0, 1, 0 } },
	  0 },
	{ "the far side of the wrap first",
	  NEAR_WRAP,
	  4,
	  3,
	  { { 0, 1, 0 }, { UINT32_MAX, UINT32_MAX, 0 }, { NEAR_WRAP, NEAR_WRAP, 0 } },
	  0 },
	{ "just past the wrap, low end foreign", 0, 2, 1, { { UINT32_MAX, 0, 1 } }, 1 },
	{ "all 2^32 numbers, from the oldest", 0, 3, 1, { { 0, UINT32_MAX, ALL_NUMBERS - 3 } }, 0 },
	{ "all 2^32 numbers, from the middle", 9, 3, 1, { { 11, 10, ALL_NUMBERS - 3 } }, 0 },
	{ "high just below low, nothing sent", 9, 0, 1, { { 9, 8, ALL_NUMBERS } }, 0 },
	{ "all but one", 9, 3, 1, { { 11, 9, ALL_NUMBERS - 3 } }, 1 },
	{ "ends swapped", 100, 5, 1, { { 103, 101, ALL_NUMBERS - 5 } }, 1 },
};

static void test_example(const struct example *example)
{
	struct dice dice = { .state = 1 };

	sends_begin_world(example->start);
	for (int i = 0; i < 8; i++)
		sends_push(&dice);
	for (uint32_t i = 0; i < example->sends; i++)
		send_blocks(i, 1 + i % 3);
	sends_compare();
	for (uint32_t i = 0; i < example->ranges; i++) {
		const struct range *range = &example->range[i];
		uint64_t wrong = completions_complete(&world.completions, range->low, range->high,
						      &world.latency, NOW);

		model_complete(range->low, range->high);
		check(wrong == range->wrong, "[%u, %u] returned %" PRIu64 ", expected %" PRIu64,
		      range->low, range->high, wrong, range->wrong);
		sends_compare();
	}
	check(world.completions.outstanding == example->left, "%u outstanding, expected %u",
	      world.completions.outstanding, example->left);
	sends_end_world();
	point("%s", example->title);
}

/* Two sends and the window hold a block: the last one to release it recycles it, in any order. */
static void test_recycling(void)
{
	static const char *const orders[] = { "wab", "wba", "awb", "bwa", "abw", "baw" };
	struct dice dice = { .state = 1 };

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		const struct block *block;

		sends_begin_world(0);
		sends_push(&dice);
		block = world.queue[0];
		send_blocks(0, 1);
		send_blocks(0, 1);
		for (const char *holder = orders[i]; *holder; holder++) {
			check(!world.ring.is_free[block->index], "%s: too early, at %c", orders[i],
			      *holder);
			if (*holder == 'w')
				sends_pop();
			else
				complete((uint32_t)(*holder - 'a'), (uint32_t)(*holder - 'a'));
		}
		check(world.ring.is_free[block->index], "%s: never", orders[i]);
		sends_end_world();
	}
	point("a block is recycled when window and pins have released it, in any order");
}

/* A block that two sends share counts once; holes in the records do not matter. */
static void test_blocks(void)
{
	struct dice dice = { .state = 1 };

	sends_begin_world(NEAR_WRAP);
	for (int i = 0; i < 7; i++)
		sends_push(&dice);
	check(completions_blocks(&world.completions) == 0, "some are pinned");
	send_blocks(0, 2);
	send_blocks(1, 1);
	send_blocks(1, 3);
	send_blocks(4, 2);
	check(completions_blocks(&world.completions) == 6, "%u, expected 6",
	      completions_blocks(&world.completions));
	complete(NEAR_WRAP + 1, NEAR_WRAP + 1);
	check(completions_blocks(&world.completions) == 6, "%u, expected 6 still",
	      completions_blocks(&world.completions));
	complete(NEAR_WRAP + 2, NEAR_WRAP + 2);
	check(completions_blocks(&world.completions) == 4, "%u, expected 4",
	      completions_blocks(&world.completions));
	sends_end_world();
	check(completions_blocks(&world.completions) == 0, "some are left");
	point("the number of blocks that the outstanding sends pin");
}

/* Ages are recorded of blocks that a send reads to their end, and of no others. */
static void test_latency(void)
{
	struct dice dice = { .state = 1 };

	sends_begin_world(0);
	for (uint32_t i = 0; i < 3; i++) {
		sends_push(&dice);
		world.queue[i]->monotonic_ns = NOW - 1000000 * i;
	}
	send_blocks(0, 3); /* all three to their end */
	send_blocks(0, 1); /* none */
	completions_complete(&world.completions, 0, 1, NULL, NOW);
	model_complete(0, 1);
	check(!histogram_count(&world.latency), "counted without a histogram");
	world.whole_blocks = 0;
	send_blocks(0, 3);
	complete(2, 2);
	check(world.latency.sum_ns == 3000000, "%" PRIu64 " ns", world.latency.sum_ns);
	check(world.latency.count[0] == 1 && histogram_count(&world.latency) == 3,
	      "%" PRIu64 " took no time", world.latency.count[0]);
	sends_end_world();
	point("the ages of blocks that were sent to their end");
}

static void test_growth(void)
{
	enum { SENDS = 5000 };
	const uint32_t start = UINT32_MAX - 999;
	struct dice dice = { .state = 1 };
	static uint32_t order[SENDS];

	sends_begin_world(start);
	for (int i = 0; i < 8; i++)
		sends_push(&dice);
	/* Complete some sends first, so that the oldest record is not at index 0 when the capacity grows. */
	for (int i = 0; i < 5; i++)
		send_blocks(0, 1);
	complete(start, start + 4);
	for (uint32_t i = 0; i < SENDS; i++) {
		uint32_t other = dice_roll(&dice, 0, i);

		order[i] = order[other];
		order[other] = world.next;
		send_blocks(i % 4, 1 + i % 5);
	}
	sends_compare();
	check(world.completions.capacity >= SENDS, "capacity %u", world.completions.capacity);
	for (uint32_t i = 0; i < SENDS; i++) {
		complete(order[i], order[i]);
		if (i % 16 == 0)
			sends_compare();
	}
	check(!world.completions.outstanding, "%u left", world.completions.outstanding);
	sends_end_world();
	point("%d outstanding across the wrap, completed in random order", SENDS);
}

/* ---- random ---- */

static void complete_something(struct dice *dice)
{
	uint32_t span = world.next - world.lowest;
	uint32_t few = dice_one_in(dice, 8) ? dice_roll(dice, 0, 40) : dice_roll(dice, 0, 4);
	uint32_t low = world.lowest + (span ? dice_roll(dice, 0, span - 1) : 0);

	switch (dice_one_in(dice, 3000) ? 7 : dice_roll(dice, 0, 24)) {
	default: /* in order, mostly merged; completed numbers in the range count as wrong */
		if (span)
			complete(world.lowest, world.lowest + (few < span ? few : span - 1));
		break;
	case 0:
	case 1:
	case 2:
	case 3: /* somewhere in the middle */
		if (span)
			complete(low, world.next - low > few ? low + few : world.next - 1);
		break;
	case 4: /* from before the oldest, perhaps up to outstanding ones */
		complete(world.lowest - 1 - dice_roll(dice, 0, 10), world.lowest - 1 + few);
		break;
	case 5: /* beyond the newest, perhaps from outstanding ones on */
		complete(world.next - dice_roll(dice, 0, 3), world.next + few);
		break;
	case 6: /* anywhere */
		low = dice_roll(dice, 0, UINT32_MAX);
		complete(low, low + few);
		break;
	case 7: /* a huge range */
		low = dice_one_in(dice, 2) ? low : dice_roll(dice, 0, UINT32_MAX);
		complete(low, dice_one_in(dice, 2) ? low - 1 : dice_roll(dice, 0, UINT32_MAX));
		break;
	}
}

static void sends_random_step(struct dice *dice, bool filling)
{
	uint32_t roll = dice_roll(dice, 0, 99);

	if (roll < 15 && world.ring.free_blocks) {
		sends_push(dice);
	} else if (roll < 28 && world.queued > (filling ? FAKE_BLOCKS / 2 : 0)) {
		sends_pop();
	} else if (roll < (filling ? 97 : 60) && world.queued && world.next - world.lowest < SPAN) {
		uint32_t at = dice_roll(dice, 0, world.queued - 1);
		uint32_t most = world.queued - at < MAX_BLOCKS ? world.queued - at : MAX_BLOCKS;

		send_blocks(at, dice_roll(dice, 1, most));
	} else {
		complete_something(dice);
	}
}

static void test_random_sends(uint64_t steps, uint64_t seed)
{
	struct dice dice = { .state = seed };
	bool filling = true;

	sends_begin_world(0);
	for (uint64_t i = 0; i < steps && !tap.failed; i++) {
		uint32_t next = world.next;

		if (dice_one_in(&dice, 10000))
			filling = !filling;
		if (!world.outstanding && dice_one_in(&dice, 16)) {
			/* Start another connection, often one whose numbers wrap soon. */
			completions_free(&world.completions);
			sends_begin(dice_one_in(&dice, 2) ? UINT32_MAX - dice_roll(&dice, 0, 2000)
							  : dice_roll(&dice, 0, UINT32_MAX));
			next = world.next;
		}
		sends_random_step(&dice, filling);
		sends_compare();
		world.wraps += world.next < next;
		if (world.outstanding > world.most_outstanding)
			world.most_outstanding = world.outstanding;
		if (tap.failed)
			printf("# at step %" PRIu64 "\n", i);
	}
	printf("# %" PRIu64 " steps, seed %" PRIu64 ": up to %u outstanding, %u wraps\n", steps,
	       seed, world.most_outstanding, world.wraps);
	sends_end_world();
	point("records agree with the model after each random step");
}

int main(int argc, char **argv)
{
	uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) : 1500000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
		test_example(&examples[i]);
	test_recycling();
	test_blocks();
	test_latency();
	test_growth();
	test_random_sends(steps, seed);
	return tap_end();
}
