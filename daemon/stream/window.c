// SPDX-License-Identifier: BSD-2-Clause
#include "stream/window.h"

#include "stream/window_internal.h"

#include <assert.h>
#include <stdlib.h>

struct window *window_create(uint32_t blocks)
{
	struct window *window;
	uint64_t places = 2;

	while (places <= blocks)
		places *= 2;
	window = calloc(1, sizeof(*window) + places * sizeof(window->place[0]));
	if (!window)
		return NULL;
	window->mask = places - 1;
	for (uint64_t i = 0; i < places; i++)
		TAILQ_INIT(&window->place[i].cursors);
	return window;
}

static void window_release(struct window *window)
{
	struct place *place = window_place(window, window->oldest);

	/* model: release */
	window->oldest++;
	block_leave_window(place->block);
	place->block = NULL;
}

static bool window_keeps_oldest(const struct window *window)
{
	return window->keeps &&
	       window->keeps(window->keeps_argument, window_place(window, window->oldest)->block);
}

/* Release the blocks that no cursor needs, unless they are retained. */
static void window_trim(struct window *window)
{
	/* model: trim */
	while (window->tail != window->head &&
	       TAILQ_EMPTY(&window_place(window, window->tail)->cursors))
		window->tail++;
	while (window->oldest != window->tail && !window_keeps_oldest(window))
		window_release(window);
}

void window_set_keeper(struct window *window,
		       bool (*keeps)(void *argument, const struct block *oldest), void *argument)
{
	window->keeps = keeps;
	window->keeps_argument = argument;
}

bool window_release_oldest(struct window *window)
{
	if (window->oldest == window->tail)
		return false;
	window_release(window);
	return true;
}

void window_destroy(struct window *window)
{
	window->keeps = NULL;
	window_trim(window);
	assert(window->oldest == window->head);
	assert(TAILQ_EMPTY(&window_place(window, window->head)->cursors));
	free(window);
}

void window_push(struct window *window, struct block *block)
{
	struct place *place = window_place(window, window->head);

	assert(window->head - window->oldest <= window->mask - 1);
	block->sequence = window->head;
	block->position = window->bytes;
	block->next = NULL;
	block_enter_window(block);
	place->block = block;
	if (window->oldest != window->head)
		window_place(window, window->head - 1)->block->next = block;
	window->bytes += block->length;
	window->head++;
	window_trim(window);
}

void window_place_cursor(struct window *window, struct cursor *cursor, uint64_t sequence)
{
	cursor->sequence = sequence;
	cursor->offset = 0;
	TAILQ_INSERT_TAIL(&window_place(window, sequence)->cursors, cursor, entry);
}

static void lift_cursor(struct window *window, struct cursor *cursor)
{
	TAILQ_REMOVE(&window_place(window, cursor->sequence)->cursors, cursor, entry);
}

void window_join(struct window *window, struct cursor *cursor, uint64_t sequence)
{
	assert(sequence - window->oldest <= window->head - window->oldest);
	cursor->held = NULL;
	/* model: join */
	window_place_cursor(window, cursor, sequence);
	if (sequence < window->tail)
		window->tail = sequence;
}

/* Unpin the held block, or free the copy; the cursor continues at the start of its current block. */
static void finish_held(struct cursor *cursor)
{
	struct block *held = cursor->held;

	cursor->held = NULL;
	cursor->offset = 0;
	block_unpin(held);
}

void window_leave(struct window *window, struct cursor *cursor)
{
	if (cursor->held)
		finish_held(cursor);
	lift_cursor(window, cursor);
	window_trim(window);
}

struct block *window_block(const struct window *window, const struct cursor *cursor)
{
	if (cursor->held)
		return cursor->held;
	if (cursor->sequence == window->head)
		return NULL;
	return window_place(window, cursor->sequence)->block;
}

bool window_is_between(const struct cursor *cursor)
{
	return !cursor->held && !cursor->offset;
}

uint32_t window_done(const struct window *window, const struct cursor *cursor)
{
	const struct block *block = window_block(window, cursor);
	uint32_t header = block ? block_header_bytes(block, cursor->framed) : 0;

	return cursor->offset > header ? cursor->offset - header : 0;
}

static uint64_t position_at(const struct window *window, uint64_t sequence)
{
	return sequence == window->head ? window->bytes
					: window_place(window, sequence)->block->position;
}

uint64_t window_position(const struct window *window, const struct cursor *cursor)
{
	return position_at(window, cursor->sequence);
}

uint32_t window_run(const struct window *window, const struct cursor *cursor, uint32_t max_blocks,
		    uint64_t bytes)
{
	uint64_t available = window->head - cursor->sequence, run_bytes = 0;
	const struct block *block = window_block(window, cursor);
	uint32_t run = 0;

	if (cursor->held)
		return 1; /* the block after a held one is not linked to it */
	while (run < max_blocks && run < available && run_bytes < bytes) {
		run_bytes += window_sent_length(cursor, block) - (run ? 0 : cursor->offset);
		block = block->next;
		run++;
	}
	return run;
}

void window_advance(struct window *window, struct cursor *cursor, uint64_t bytes)
{
	uint64_t sequence = cursor->sequence, offset = cursor->offset + bytes;

	if (cursor->held) {
		assert(offset <= window_sent_length(cursor, cursor->held));
		cursor->offset = (uint32_t)offset;
		if (offset == window_sent_length(cursor, cursor->held))
			finish_held(cursor);
		return;
	}
	while (sequence != window->head &&
	       offset >= window_sent_length(cursor, window_place(window, sequence)->block))
		offset -= window_sent_length(cursor, window_place(window, sequence++)->block);
	assert(sequence != window->head || offset == 0);
	if (sequence != cursor->sequence) {
		lift_cursor(window, cursor);
		window_place_cursor(window, cursor, sequence);
		window_trim(window);
	}
	cursor->offset = (uint32_t)offset;
}

/* Let the cursor finish its current block, which is partly done, after it moved. Return: false without memory. */
static bool hold_current(struct window *window, struct cursor *cursor, bool may_pin)
{
	struct block *block = window_place(window, cursor->sequence)->block;
	uint32_t done = window_done(window, cursor);

	if (may_pin) {
		/* model: hold */
		block_pin(block);
		cursor->held = block;
		return true;
	}
	cursor->held = block_copy_rest(block, done);
	/* Without a header in the copy, that is done. */
	if (cursor->held && !cursor->held->header)
		cursor->offset = 0;
	return cursor->held;
}

bool window_skip(struct window *window, struct cursor *cursor, bool may_pin,
		 struct window_gap *lost)
{
	uint64_t target = window->head, first = cursor->sequence;
	uint32_t offset;

	assert(cursor->sequence != window->head);
	/* The cursor may still finish the block of an earlier skip; then only its place moves. */
	if (!cursor->held && cursor->offset) {
		if (!hold_current(window, cursor, may_pin))
			return false;
		first++;
	}
	if (cursor->sequence + 1 < window->head)
		target--;
	lost->blocks = target - first;
	lost->bytes = position_at(window, target) - position_at(window, first);
	offset = cursor->offset;
	lift_cursor(window, cursor);
	/* model: skip */
	window_place_cursor(window, cursor, target);
	cursor->offset = offset;
	window_trim(window);
	return true;
}

struct cursor *window_slowest(const struct window *window)
{
	if (window->tail == window->head)
		return NULL;
	return TAILQ_FIRST(&window_place(window, window->tail)->cursors);
}

struct cursor_list *window_at(const struct window *window, uint64_t sequence)
{
	assert(sequence - window->tail <= window->head - window->tail);
	return &window_place(window, sequence)->cursors;
}

struct block *window_block_at(const struct window *window, uint64_t sequence)
{
	assert(sequence - window->oldest < window->head - window->oldest);
	return window_place(window, sequence)->block;
}

uint64_t window_search(const struct window *window, uint64_t from,
		       bool (*is_before)(const struct block *block, uint64_t value), uint64_t value)
{
	uint64_t end = window->head;

	while (from < end) {
		uint64_t middle = from + (end - from) / 2;

		if (is_before(window_block_at(window, middle), value))
			from = middle + 1;
		else
			end = middle;
	}
	return from;
}

uint32_t window_length(const struct window *window)
{
	return (uint32_t)(window->head - window->tail);
}

uint64_t window_oldest(const struct window *window)
{
	return window->oldest;
}

uint32_t window_retained(const struct window *window, uint64_t *bytes)
{
	*bytes = position_at(window, window->tail) - position_at(window, window->oldest);
	return (uint32_t)(window->tail - window->oldest);
}

uint64_t window_head(const struct window *window)
{
	return window->head;
}

uint64_t window_bytes(const struct window *window)
{
	return window->bytes;
}

uint64_t window_lag(const struct window *window, const struct cursor *cursor)
{
	uint64_t lag = window->bytes - window_position(window, cursor);

	if (cursor->held)
		lag += cursor->held->length;
	return lag - window_done(window, cursor);
}
