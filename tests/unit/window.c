// SPDX-License-Identifier: BSD-2-Clause
/*
 * Usage: window [STEPS [SEED]]
 *
 * Compare the window and its cursors with a naive model after every step: a cursor still gets the rest of
 * its held block, or a copy of that rest, if there is one, and then everything from a place in the stream on.
 * Blocks that no cursor needs stay while they are among the last ones, of a number that changes.
 */
#include "stream/window.h"

#include "fakering.h"

#include <inttypes.h>
#include <stdlib.h>

#define CURSORS 40

/* A block, and its length when it entered. */
struct entry {
	const struct block *block;
	uint32_t length;
};

struct model_cursor {
	struct cursor cursor; /* of the code under test */
	bool joined;
	bool framed; /* each block has a header for it, which counts in the offset */
	uint64_t sequence;
	struct entry held; /* with a block, or NULL */
	bool copied;	   /* `held` is the rest of that block, in memory of its own */
	bool bare;	   /* ... without its header, which is done */
	uint32_t offset;   /* in the held block or copy, or else in the current one */
	uint64_t joined_at, sent, dropped; /* bytes */
};

static struct world {
	struct ring ring;
	struct window *window;
	struct entry entry[FAKE_BLOCKS]; /* of the blocks in the window, by sequence */
	uint64_t oldest, head, bytes;
	uint64_t kept; /* blocks from the head on that stay; 0: no keeper */
	struct model_cursor cursor[CURSORS];
	/* Coverage of the random run: */
	uint64_t holds, copies, skips, wholly_drained, past_joins, most_retained;
} world;

static unsigned char memory[FAKE_BLOCKS][FAKE_BLOCK_SIZE];

static void window_world_begin(void)
{
	struct dice dice = { .state = 1 };

	memset(&world, 0, sizeof(world));
	fake_ring_init(&world.ring);
	for (uint32_t i = 0; i < FAKE_BLOCKS; i++) {
		world.ring.block[i].data = memory[i];
		for (uint32_t n = 0; n < FAKE_BLOCK_SIZE; n++)
			memory[i][n] = (unsigned char)dice_roll(&dice, 0, 255);
	}
	world.window = window_create(FAKE_BLOCKS);
}

static struct entry *entry_of(uint64_t sequence)
{
	return &world.entry[sequence % FAKE_BLOCKS];
}

/* ---- the model ---- */

static uint64_t model_tail(void)
{
	uint64_t tail = world.head;

	for (int i = 0; i < CURSORS; i++) {
		if (world.cursor[i].joined && world.cursor[i].sequence < tail)
			tail = world.cursor[i].sequence;
	}
	return tail;
}

static uint32_t model_header(const struct model_cursor *m)
{
	return m->framed && !(m->held.block && m->bare) ? FRAME_HEADER_BYTES : 0;
}

/* Bytes of data of its current block, or of its held block, that it has done. */
static uint32_t model_done(const struct model_cursor *m)
{
	return m->offset > model_header(m) ? m->offset - model_header(m) : 0;
}

static uint64_t model_lag(const struct model_cursor *m)
{
	uint64_t lag = 0;

	for (uint64_t s = m->sequence; s < world.head; s++)
		lag += entry_of(s)->length;
	if (m->held.block)
		lag += m->held.length;
	return lag - model_done(m);
}

/* Bytes that it sends for a block of @length. */
static uint32_t model_length(const struct model_cursor *m, uint32_t length)
{
	return model_header(m) + length;
}

/* Bytes that it has to send. */
static uint64_t model_left(const struct model_cursor *m)
{
	uint64_t left = 0;

	if (m->held.block)
		return model_length(m, m->held.length) - m->offset;
	for (uint64_t s = m->sequence; s < world.head; s++)
		left += model_length(m, entry_of(s)->length);
	return left - m->offset;
}

static uint32_t model_run(const struct model_cursor *m, uint32_t max_blocks, uint64_t bytes)
{
	uint64_t run_bytes = 0;
	uint32_t run = 0;

	if (m->held.block != NULL)
		return 1;
	for (uint64_t s = m->sequence; s < world.head && run < max_blocks && run_bytes < bytes;
	     s++, run++)
		run_bytes +=
			model_length(m, entry_of(s)->length) - (s == m->sequence ? m->offset : 0);
	return run;
}

/* Blocks that are neither needed nor kept leave. */
static void model_trim(void)
{
	uint64_t tail = model_tail();

	while (world.oldest < tail && world.head - world.oldest > world.kept)
		world.oldest++;
}

static bool keeps_block(void *argument, const struct block *oldest)
{
	check(argument == &world, "another argument");
	return world.head - oldest->sequence <= world.kept;
}

/* Keep this number of blocks from now on, as settings may change. */
static void window_world_keep(uint64_t blocks)
{
	uint64_t tail = model_tail();

	world.kept = blocks;
	window_set_keeper(world.window, blocks ? keeps_block : NULL, &world);
	for (; world.oldest < tail && world.head - world.oldest > blocks; world.oldest++)
		check(window_release_oldest(world.window), "%" PRIu64 " stays", world.oldest);
}

/* Release one block that no cursor needs, if there is one. */
static void window_world_give_way(void)
{
	bool expected = world.oldest < model_tail();

	check(window_release_oldest(world.window) == expected, "%s", expected ? "none" : "one");
	world.oldest += expected;
}

/* ---- each step, in the model and in the code under test ---- */

static void window_world_push(struct dice *dice)
{
	struct block *block = fake_ring_take(&world.ring, dice);

	*entry_of(world.head) = (struct entry){ block, block->length };
	world.bytes += block->length;
	world.head++;
	window_push(world.window, block);
	check(block->sequence == world.head - 1, "sequence %" PRIu64, block->sequence);
	check(block->position == world.bytes - block->length, "position %" PRIu64, block->position);
}

static void cursor_join_at(struct model_cursor *m, uint64_t sequence)
{
	m->joined = true;
	m->sequence = sequence;
	m->held.block = NULL;
	m->offset = 0;
	m->joined_at = sequence < world.head ? entry_of(sequence)->block->position : world.bytes;
	m->sent = m->dropped = 0;
	m->cursor.framed = m->framed;
	world.past_joins += sequence < world.head;
	if (sequence == world.head)
		window_join(world.window, &m->cursor, window_head(world.window));
	else
		window_join(world.window, &m->cursor, sequence);
}

static void cursor_join(struct model_cursor *m)
{
	cursor_join_at(m, world.head);
}

static void cursor_leave(struct model_cursor *m)
{
	m->joined = false;
	window_leave(world.window, &m->cursor);
}

/* Advance within the held block, or by any number of blocks in the window. */
static void cursor_advance(struct model_cursor *m, uint64_t bytes)
{
	for (uint64_t left = bytes; left; left--) {
		uint32_t length = m->held.block ? m->held.length : entry_of(m->sequence)->length;

		m->sent += m->offset >= model_header(m);
		if (++m->offset < model_length(m, length))
			continue;
		m->offset = 0;
		if (m->held.block)
			m->held.block = NULL;
		else
			m->sequence++;
	}
	window_advance(world.window, &m->cursor, bytes);
}

/* The copy must be in memory of its own, with the rest of @block. */
static void check_copy(const struct model_cursor *m, const struct block *block, uint32_t offset)
{
	const struct block *copy = m->cursor.held;

	if (!check(copy && block_is_copy(copy), "no copy"))
		return;
	check(copy->length == m->held.length && copy->sequence == block->sequence &&
		      copy->position == block->position + offset,
	      "a copy of another rest");
	check(!copy->header == m->bare &&
		      (m->bare || !memcmp(copy->header, block->header, FRAME_HEADER_BYTES)),
	      "another header");
	check(copy->data != block->data + offset &&
		      !memcmp(copy->data, block->data + offset, copy->length),
	      "the copy differs");
	check(window_copied_bytes(&m->cursor) == copy->length, "%u bytes",
	      window_copied_bytes(&m->cursor));
}

static void cursor_skip(struct model_cursor *m, bool may_pin)
{
	uint64_t target = m->sequence + 1 < world.head ? world.head - 1 : world.head;
	const struct block *first = entry_of(m->sequence)->block;
	bool finishes = m->offset && !m->held.block;
	uint64_t dropped = 0, blocks;
	struct window_gap lost = { 0, 0 };
	uint32_t done = model_done(m);

	world.skips++;
	for (uint64_t s = m->sequence; s < target; s++)
		dropped += entry_of(s)->length;
	if (finishes) {
		m->held = *entry_of(m->sequence);
		m->copied = !may_pin;
		m->bare = false;
		dropped -= m->held.length;
		if (m->copied && done) {
			m->bare = true;
			m->held.length -= done;
			m->offset = 0;
		}
		world.holds += may_pin;
		world.copies += !may_pin;
	}
	blocks = target - m->sequence - finishes;
	m->sequence = target;
	m->dropped += dropped;
	check(window_skip(world.window, &m->cursor, may_pin, &lost), "no memory");
	check(lost.bytes == dropped, "skip dropped %" PRIu64 ", expected %" PRIu64, lost.bytes,
	      dropped);
	check(lost.blocks == blocks, "skip dropped %" PRIu64 " blocks, expected %" PRIu64,
	      lost.blocks, blocks);
	if (finishes && !may_pin)
		check_copy(m, first, done);
}

static void compare_cursor(const struct model_cursor *m)
{
	const struct cursor *cursor = &m->cursor;
	const struct block *block = window_block(world.window, cursor), *expected = NULL;
	uint64_t lag = window_lag(world.window, cursor);

	if (m->held.block != NULL)
		expected = m->copied ? cursor->held : m->held.block;
	else if (m->sequence < world.head)
		expected = entry_of(m->sequence)->block;
	check(block == expected, "another block");
	check(cursor->sequence == m->sequence, "at %" PRIu64 ", expected %" PRIu64,
	      cursor->sequence, m->sequence);
	check(cursor->offset == m->offset, "offset %u, expected %u", cursor->offset, m->offset);
	check((cursor->held != NULL) == (m->held.block != NULL), "holds %d", !!cursor->held);
	check(window_done(world.window, cursor) == model_done(m), "%u done, expected %u",
	      window_done(world.window, cursor), model_done(m));
	check(window_is_between(cursor) == (!m->offset && !m->held.block), "between");
	check(lag == model_lag(m), "lag %" PRIu64 ", expected %" PRIu64, lag, model_lag(m));
	check(m->sent + m->dropped + lag == world.bytes - m->joined_at,
	      "%" PRIu64 " sent + %" PRIu64 " dropped + %" PRIu64 " lag is not %" PRIu64, m->sent,
	      m->dropped, lag, world.bytes - m->joined_at);
}

/* The list of each place must have the cursors that are there, and no others. */
static void compare_places(uint64_t tail)
{
	for (uint64_t s = tail; s <= world.head; s++) {
		const struct cursor *cursor;
		int expected = 0, count = 0;

		for (int i = 0; i < CURSORS; i++)
			expected += world.cursor[i].joined && world.cursor[i].sequence == s;
		TAILQ_FOREACH (cursor, window_at(world.window, s), entry)
			count += cursor->sequence == s ? 1 : 1000;
		check(count == expected, "%d cursors at %" PRIu64 ", expected %d", count, s,
		      expected);
	}
}

/* The blocks that are neither in the window nor held must be free, and no others. */
static void compare_blocks(void)
{
	bool needed[FAKE_BLOCKS] = { false };

	for (uint64_t s = world.oldest; s < world.head; s++)
		needed[entry_of(s)->block->index] = true;
	for (int i = 0; i < CURSORS; i++) {
		if (world.cursor[i].joined && world.cursor[i].held.block && !world.cursor[i].copied)
			needed[world.cursor[i].held.block->index] = true;
	}
	for (uint32_t i = 0; i < FAKE_BLOCKS; i++)
		check(world.ring.is_free[i] == !needed[i], "block %u: needed %d, free %d", i,
		      needed[i], world.ring.is_free[i]);
}

/* The retained blocks, each linked to the next one. */
static void compare_retained(uint64_t tail)
{
	uint64_t bytes, expected = 0;
	uint32_t blocks = window_retained(world.window, &bytes);

	check(window_oldest(world.window) == world.oldest, "oldest %" PRIu64 ", expected %" PRIu64,
	      window_oldest(world.window), world.oldest);
	check(blocks == tail - world.oldest, "%u blocks, expected %" PRIu64, blocks,
	      tail - world.oldest);
	for (uint64_t s = world.oldest; s < world.head; s++) {
		const struct block *block = window_block_at(world.window, s);

		check(block == entry_of(s)->block, "another block at %" PRIu64, s);
		check(s + 1 == world.head || block->next == entry_of(s + 1)->block,
		      "%" PRIu64 " is not linked", s);
		expected += s < tail ? block->length : 0;
	}
	check(bytes == expected, "%" PRIu64 " bytes, expected %" PRIu64, bytes, expected);
	if (blocks > world.most_retained)
		world.most_retained = blocks;
}

static void compare_window(void)
{
	uint64_t tail = model_tail();
	const struct cursor *slowest = window_slowest(world.window);

	model_trim();

	check(window_head(world.window) == world.head, "head %" PRIu64, window_head(world.window));
	check(window_bytes(world.window) == world.bytes, "bytes %" PRIu64,
	      window_bytes(world.window));
	check(window_length(world.window) == world.head - tail, "length %u, expected %" PRIu64,
	      window_length(world.window), world.head - tail);
	check(slowest ? slowest->sequence == tail && tail < world.head : tail == world.head,
	      "another slowest");
	for (int i = 0; i < CURSORS; i++) {
		if (world.cursor[i].joined)
			compare_cursor(&world.cursor[i]);
	}
	compare_places(tail);
	compare_retained(tail);
	compare_blocks();
}

static void window_world_end(void)
{
	for (int i = 0; i < CURSORS; i++) {
		if (world.cursor[i].joined)
			cursor_leave(&world.cursor[i]);
	}
	compare_window();
	window_world_keep(0);
	compare_window();
	check(world.ring.free_blocks == FAKE_BLOCKS, "%u blocks came back", world.ring.free_blocks);
	window_destroy(world.window);
}

/* ---- examples ---- */

static struct model_cursor *const a = &world.cursor[0], *const b = &world.cursor[1];

static void push_length(uint32_t length)
{
	struct dice dice = { .state = world.head };
	struct block *block = fake_ring_take(&world.ring, &dice);

	/* fake_ring_take() chose another length, which nothing has seen yet. */
	block->length = length;
	*entry_of(world.head) = (struct entry){ block, length };
	world.bytes += length;
	world.head++;
	window_push(world.window, block);
}

static void test_no_cursor(void)
{
	window_world_begin();
	for (uint32_t i = 1; i <= 3 * FAKE_BLOCKS; i++) {
		push_length(10);
		check(window_length(world.window) == 0, "%u blocks", window_length(world.window));
		check(world.ring.free_blocks == FAKE_BLOCKS, "%u free", world.ring.free_blocks);
		compare_window();
	}
	check(!window_slowest(world.window), "a slowest one");
	window_world_end();
	point("without a cursor blocks are recycled at once");
}

static void test_full_window(void)
{
	window_world_begin();
	cursor_join(a);
	for (uint32_t i = 0; i < FAKE_BLOCKS; i++)
		push_length(100);
	compare_window();
	check(window_length(world.window) == FAKE_BLOCKS, "%u", window_length(world.window));
	check(window_run(world.window, &a->cursor, 64, UINT64_MAX) == FAKE_BLOCKS, "run");
	check(window_run(world.window, &a->cursor, 3, UINT64_MAX) == 3, "run of at most 3");
	check(window_run(world.window, &a->cursor, 64, 1) == 1, "run of at least 1");
	check(window_run(world.window, &a->cursor, 64, 100) == 1, "run of 100 bytes");
	check(window_run(world.window, &a->cursor, 64, 101) == 2, "run of 101 bytes");
	cursor_advance(a, 30);
	check(window_run(world.window, &a->cursor, 64, 71) == 2, "run of 71 bytes from offset 30");
	compare_window();
	cursor_advance(a, FAKE_BLOCKS * 100 - 30);
	compare_window();
	check(window_run(world.window, &a->cursor, 64, UINT64_MAX) == 0, "run at the head");
	window_world_end();
	point("a window of all the ring's blocks, emptied at once");
}

/* Skips in a window of 5 blocks of 100 bytes, some of which are done. */
static const struct skip_example {
	const char *title;
	uint32_t done; /* bytes before the skip */
	bool may_pin;
	uint64_t dropped, sequence, offset, lag;
} skips[] = {
	{ "from a boundary to the newest block", 0, false, 400, 4, 0, 100 },
	{ "from a boundary, holding nothing", 100, true, 300, 4, 0, 100 },
	{ "from within a block, whose rest is copied", 130, false, 200, 4, 0, 170 },
	{ "from within a block, which is pinned", 130, true, 200, 4, 30, 170 },
	{ "from within the last but one, pinned", 350, true, 0, 4, 50, 150 },
	{ "from within the last but one, copied", 350, false, 0, 4, 0, 150 },
	{ "from the newest block", 400, false, 100, 5, 0, 0 },
	{ "from within the newest block, copied", 490, false, 0, 5, 0, 10 },
	{ "from within the newest block, pinned", 490, true, 0, 5, 90, 10 },
};

static void test_skips(void)
{
	for (size_t i = 0; i < sizeof(skips) / sizeof(skips[0]); i++) {
		const struct skip_example *example = &skips[i];
		uint64_t dropped;

		window_world_begin();
		cursor_join(a);
		for (int n = 0; n < 5; n++)
			push_length(100);
		if (example->done)
			cursor_advance(a, example->done);
		cursor_skip(a, example->may_pin);
		dropped = a->dropped;
		check(dropped == example->dropped, "dropped %" PRIu64, dropped);
		check(a->cursor.sequence == example->sequence, "at %" PRIu64, a->cursor.sequence);
		check(a->cursor.offset == example->offset, "offset %u", a->cursor.offset);
		check(window_lag(world.window, &a->cursor) == example->lag, "lag %" PRIu64,
		      window_lag(world.window, &a->cursor));
		compare_window();
		window_world_end();
		point("skip %s", example->title);
	}
}

static void test_held_block(void)
{
	const struct block *first;

	window_world_begin();
	cursor_join(a);
	cursor_join(b);
	for (int n = 0; n < 3; n++)
		push_length(100);
	first = entry_of(0)->block;
	cursor_advance(a, 40);
	cursor_advance(b, 300);
	cursor_skip(a, true);
	check(window_block(world.window, &a->cursor) == first, "not held");
	check(first->pins == 1 && !first->in_window, "%u pins", first->pins);
	check(window_run(world.window, &a->cursor, 64, UINT64_MAX) == 1, "run beyond the held one");
	push_length(100);
	cursor_skip(a, false); /* again, while the held block is not finished */
	check(window_block(world.window, &a->cursor) == first, "not held any more");
	check(a->dropped == 200, "dropped %" PRIu64, a->dropped);
	compare_window();
	cursor_advance(a, 59);
	check(window_block(world.window, &a->cursor) == first, "one byte too early");
	check(!world.ring.is_free[first->index], "recycled with one byte to go");
	compare_window();
	cursor_advance(a, 1);
	check(world.ring.is_free[first->index], "not recycled");
	check(window_block(world.window, &a->cursor) == entry_of(3)->block, "not at the newest");
	compare_window();
	cursor_advance(a, 10);
	cursor_skip(a, true);
	check(window_block(world.window, &a->cursor) == entry_of(3)->block, "not held");
	cursor_leave(a);
	compare_window();
	window_world_end();
	point("a held block is finished first, survives a second skip, and leaves with its client");
}

static void test_skip_with_copy(void)
{
	const struct block *first, *copy;
	uint64_t dropped;

	window_world_begin();
	cursor_join(a);
	for (int n = 0; n < 3; n++)
		push_length(100);
	first = entry_of(0)->block;
	cursor_advance(a, 40);
	cursor_skip(a, false);
	copy = window_block(world.window, &a->cursor);
	check(world.ring.is_free[first->index] && !world.ring.pinned_blocks, "the block is kept");
	check(copy->length == 60 && copy->pins == 1, "%u bytes, %u pins", copy->length, copy->pins);
	check(window_run(world.window, &a->cursor, 64, UINT64_MAX) == 1, "run beyond the copy");
	push_length(100);
	cursor_skip(a, false); /* again, while the copy is not sent */
	check(window_block(world.window, &a->cursor) == copy, "another copy");
	dropped = a->dropped;
	check(dropped == 200, "dropped %" PRIu64, dropped);
	compare_window();
	cursor_advance(a, 59);
	check(window_block(world.window, &a->cursor) == copy, "one byte too early");
	cursor_advance(a, 1);
	check(window_block(world.window, &a->cursor) == entry_of(3)->block, "not at the newest");
	check(!window_copied_bytes(&a->cursor), "%u bytes", window_copied_bytes(&a->cursor));
	cursor_advance(a, 10);
	cursor_skip(a, false);
	compare_window();
	cursor_leave(a); /* with a copy */
	compare_window();
	window_world_end();
	point("a copied rest is sent first, survives a second skip, and is freed with its client");
}

/* A raw and a framed cursor at the same blocks of 100 bytes, which are 164 for the second one. */
static void test_framed(bool may_pin)
{
	window_world_begin();
	b->framed = true;
	cursor_join(a);
	cursor_join(b);
	for (int n = 0; n < 4; n++)
		push_length(100);
	check(window_run(world.window, &b->cursor, 64, 164) == 1, "run of 164 bytes");
	check(window_run(world.window, &b->cursor, 64, 165) == 2, "run of 165 bytes");
	cursor_advance(a, 164);
	cursor_advance(b, 164);
	check(a->cursor.offset == 64 && b->cursor.offset == 0, "offsets %u, %u", a->cursor.offset,
	      b->cursor.offset);
	compare_window();
	cursor_advance(b, 63);
	check(!window_is_between(&b->cursor) && window_done(world.window, &b->cursor) == 0,
	      "%u done within a header", window_done(world.window, &b->cursor));
	check(window_lag(world.window, &b->cursor) == 300, "lag %" PRIu64,
	      window_lag(world.window, &b->cursor));
	check(window_position(world.window, &b->cursor) == 100, "position %" PRIu64,
	      window_position(world.window, &b->cursor));
	cursor_skip(b, may_pin);
	check(b->dropped == 100, "dropped %" PRIu64, b->dropped);
	compare_window();
	cursor_advance(b, 1);
	check(b->cursor.held && window_lag(world.window, &b->cursor) == 200, "lag %" PRIu64,
	      window_lag(world.window, &b->cursor));
	cursor_advance(b, 100);
	check(!b->cursor.held && window_is_between(&b->cursor), "still held");
	check(window_position(world.window, &b->cursor) == 300, "position %" PRIu64,
	      window_position(world.window, &b->cursor));
	cursor_advance(b, 164);
	check(window_position(world.window, &b->cursor) == 400, "position %" PRIu64,
	      window_position(world.window, &b->cursor));
	compare_window();
	window_world_end();
	point("for a framed cursor a block has a header; a skip within it keeps the whole block, "
	      "%s",
	      may_pin ? "by a pin" : "by a copy");
}

static void test_retained(void)
{
	window_world_begin();
	window_world_keep(5);
	for (int n = 0; n < 8; n++)
		push_length(100);
	compare_window();
	check(window_oldest(world.window) == 3 && !window_length(world.window) &&
		      !window_slowest(world.window),
	      "from %" PRIu64 ", %u needed", window_oldest(world.window),
	      window_length(world.window));
	point("blocks that no cursor needs are kept, and no cursor is the slowest");

	cursor_join_at(a, 4);
	compare_window();
	check(window_length(world.window) == 4 && window_slowest(world.window) == &a->cursor,
	      "%u needed", window_length(world.window));
	check(window_run(world.window, &a->cursor, 64, UINT64_MAX) == 4, "another run");
	check(window_lag(world.window, &a->cursor) == 400, "another lag");
	push_length(100);
	push_length(100);
	compare_window();
	check(window_oldest(world.window) == 4, "released what the cursor needs");
	cursor_advance(a, 250);
	compare_window();
	check(window_oldest(world.window) == 5, "from %" PRIu64, window_oldest(world.window));
	window_world_give_way();
	window_world_give_way();
	compare_window();
	point("a cursor that joins in the past needs the blocks from there on");

	cursor_skip(a, true);
	compare_window();
	cursor_join_at(b, window_oldest(world.window));
	window_world_keep(0);
	compare_window();
	cursor_leave(b);
	compare_window();
	window_world_end();
	point("without a keeper any more, the blocks leave with their cursors");
}

/* ---- random ---- */

static void random_advance(struct model_cursor *m, struct dice *dice)
{
	uint64_t most = model_left(m);
	uint64_t bytes = dice_roll(dice, 1, 3 * FAKE_BLOCK_SIZE);

	if (!most)
		return;
	if (!m->held.block && dice_one_in(dice, 3)) /* up to a boundary */
		bytes = model_length(m, entry_of(m->sequence)->length) - m->offset;
	if (m->framed && m->offset < FRAME_HEADER_BYTES && dice_one_in(dice, 3))
		bytes = dice_roll(dice, 1, FRAME_HEADER_BYTES - m->offset);
	if (dice_one_in(dice, 6))
		bytes = most;
	cursor_advance(m, bytes < most ? bytes : most);
	world.wholly_drained += !model_lag(m);
}

static void window_random_step(struct dice *dice)
{
	struct model_cursor *m = &world.cursor[dice_roll(dice, 0, CURSORS - 1)];
	const struct cursor *slowest = window_slowest(world.window);
	uint32_t roll = dice_roll(dice, 0, 99);

	if (dice_one_in(dice, 2000))
		window_world_keep(dice_one_in(dice, 3) ? 0 : dice_roll(dice, 1, FAKE_BLOCKS));
	if (roll < 25) {
		if (!world.ring.free_blocks)
			window_world_give_way();
		if (world.ring.free_blocks)
			window_world_push(dice);
		else if (slowest)
			m = (struct model_cursor *)(uintptr_t)slowest;
	}
	model_trim();
	if (!m->joined) {
		if (dice_one_in(dice, 4)) {
			m->framed = dice_one_in(dice, 2);
			cursor_join_at(m,
				       world.head - (dice_one_in(dice, 2)
							     ? dice_roll(dice, 0,
									 (uint32_t)(world.head -
										    world.oldest))
							     : 0));
		}
	} else if (dice_one_in(dice, 60)) {
		cursor_leave(m);
	} else if (m->sequence < world.head && dice_one_in(dice, 5)) {
		cursor_skip(m, dice_one_in(dice, 2));
	} else {
		uint32_t max_blocks = dice_roll(dice, 1, 64);
		uint64_t bytes = dice_roll(dice, 1, 30 * FAKE_BLOCK_SIZE);
		uint32_t run = window_run(world.window, &m->cursor, max_blocks, bytes);

		check(run == model_run(m, max_blocks, bytes), "run %u, expected %u", run,
		      model_run(m, max_blocks, bytes));
		random_advance(m, dice);
	}
}

static void test_random_window(uint64_t steps, uint64_t seed)
{
	struct dice dice = { .state = seed };
	uint32_t longest = 0;

	window_world_begin();
	window_world_keep(FAKE_BLOCKS / 2);
	for (uint64_t i = 0; i < steps && !tap.failed; i++) {
		window_random_step(&dice);
		compare_window();
		if (window_length(world.window) > longest)
			longest = window_length(world.window);
		if (tap.failed)
			printf("# at step %" PRIu64 "\n", i);
	}
	printf("# %" PRIu64 " steps, seed %" PRIu64 ": %" PRIu64
	       " blocks, up to %u in the window, %" PRIu64 " skips, %" PRIu64 " pins, %" PRIu64
	       " copies, %" PRIu64 " times all done, %" PRIu64 " joined in the past, up to %" PRIu64
	       " retained\n",
	       steps, seed, world.head, longest, world.skips, world.holds, world.copies,
	       world.wholly_drained, world.past_joins, world.most_retained);
	check(steps < 10000 || (world.past_joins && world.most_retained), "nothing was retained");
	window_world_end();
	point("the window agrees with the model after each random step");
}

int main(int argc, char **argv)
{
	uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	test_no_cursor();
	test_full_window();
	test_skips();
	test_held_block();
	test_skip_with_copy();
	test_framed(true);
	test_framed(false);
	test_retained();
	test_random_window(steps, seed);
	return tap_end();
}
