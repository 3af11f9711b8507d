// SPDX-License-Identifier: BSD-2-Clause
/* The window and its cursors in the state of a handover. */
#include "lib/state.h"
#include "ring/ring.h"
#include "stream/window_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* ---- the window ---- */

static void window_save_blocks(const struct window *window, struct state *state, uint64_t *index,
			       size_t count)
{
	for (size_t i = 0; i < count; i++)
		index[i] = window_place(window, window->oldest + i)->block->index;
	state_numbers(state, "block", index, count);
}

/* Return false if @block cannot be the next one of the window. */
static bool window_accepts(const struct window *window, const struct block *block)
{
	const struct block *last = NULL;

	if (!block || block->in_window || !block_may_restore(block) || !block->length ||
	    block->sequence != window->head)
		return false;
	if (window->head != window->oldest)
		last = window_place(window, window->head - 1)->block;
	return !last || block->position == last->position + last->length;
}

static void window_restore_block(struct window *window, struct block *block)
{
	if (window->head != window->oldest)
		window_place(window, window->head - 1)->block->next = block;
	window_place(window, window->head)->block = block;
	block_restore_in_window(block);
	window->head++;
	window->bytes = block->position + block->length;
}

static void window_restore_blocks(struct window *window, struct ring *ring, struct state *state,
				  uint64_t *index, size_t count)
{
	uint64_t bytes = window->bytes;

	state_numbers(state, "block", index, count);
	for (size_t i = 0; !state_failed(state) && i < count; i++) {
		struct block *block = ring_find_taken(ring, index[i]);

		if (window_accepts(window, block))
			window_restore_block(window, block);
		else
			state_fail(state, "block %" PRIu64 " cannot be number %" PRIu64, index[i],
				   window->head);
	}
	/* The cursors take the tail back; see window_join(). */
	window->tail = window->head;
	if (window->bytes != bytes)
		state_fail(state, "bytes: %" PRIu64 " end with the last block, not %" PRIu64,
			   window->bytes, bytes);
}

/* Return the number of blocks, which is 0 after a failure. */
static size_t window_transfer_size(struct window *window, const struct ring *ring,
				   struct state *state)
{
	uint64_t count = window->head - window->oldest, most = ring ? ring_blocks(ring) : 0;

	state_u64(state, "oldest", &window->oldest);
	state_u64(state, "count", &count);
	state_u64(state, "bytes", &window->bytes);
	if (count > most || count > window->mask || window->oldest > UINT64_MAX / 2)
		state_fail(state, "%" PRIu64 " blocks from number %" PRIu64, count, window->oldest);
	return state_failed(state) ? 0 : (size_t)count;
}

void window_transfer(struct window *window, struct ring *ring, struct state *state)
{
	uint64_t *index;
	size_t count;

	assert(state_is_saving(state) || (!window->head && TAILQ_EMPTY(&window->place[0].cursors)));
	state_enter(state, "window");
	count = window_transfer_size(window, ring, state);
	if (!state_is_saving(state))
		window->tail = window->head = window->oldest;
	index = calloc(count + 1, sizeof(*index));
	if (!index)
		state_fail(state, "no memory");
	else if (state_is_saving(state))
		window_save_blocks(window, state, index, count);
	else
		window_restore_blocks(window, ring, state, index, count);
	free(index);
	state_leave(state);
}

/* ---- cursors ---- */

static void copy_transfer_numbers(struct state *state, struct block *copy)
{
	state_u64(state, "sequence", &copy->sequence);
	state_u64(state, "position", &copy->position);
	state_u64(state, "monotonic_ns", &copy->monotonic_ns);
	state_u64(state, "captured_ns", &copy->captured_ns);
	state_u64(state, "realtime_ns", &copy->realtime_ns);
}

static void copy_save(struct state *state, struct block *copy)
{
	bool has_header = copy->header;
	size_t length = copy->length;

	copy_transfer_numbers(state, copy);
	state_bool(state, "has_header", &has_header);
	if (has_header)
		state_fixed_bytes(state, "header", copy->header, FRAME_HEADER_BYTES);
	state_bytes(state, "data", &copy->data, &length, length);
}

/* Return NULL after a failure. */
static struct block *copy_restore(struct state *state, size_t most)
{
	unsigned char header[FRAME_HEADER_BYTES], *data = NULL;
	struct block numbers = { 0 }, *copy = NULL;
	bool has_header = false;
	size_t length = 0;

	copy_transfer_numbers(state, &numbers);
	state_bool(state, "has_header", &has_header);
	if (has_header)
		state_fixed_bytes(state, "header", header, sizeof(header));
	state_bytes(state, "data", &data, &length, most);
	if (!length)
		state_fail(state, "data: expected 1 byte or more");
	if (!state_failed(state)) {
		numbers.length = (uint32_t)length;
		copy = block_make_copy(&numbers, has_header ? header : NULL, data);
		if (!copy)
			state_fail(state, "no memory for a copy");
	}
	free(data);
	return copy;
}

static void cursor_transfer_held(struct cursor *cursor, struct ring *ring, struct state *state)
{
	bool is_copy = cursor->held && block_is_copy(cursor->held);
	struct block *held = is_copy ? NULL : cursor->held;

	if (ring)
		ring_transfer_block(ring, state, "held", &held);
	if (state_is_saving(state)) {
		if (state_optional(state, "copy", is_copy)) {
			copy_save(state, cursor->held);
			state_leave(state);
		}
		return;
	}
	if (held && !block_may_restore(held))
		state_fail(state, "the held block is being filled");
	if (held && !state_failed(state))
		block_restore_pin(held);
	else
		held = NULL;
	if (ring && state_optional(state, "copy", false)) {
		if (held)
			state_fail(state, "there is a held block, too");
		else
			held = copy_restore(state, ring_block_size(ring));
		state_leave(state);
	}
	cursor->held = held;
}

/* Let the state fail if the cursor cannot be where it says. */
static void cursor_check(const struct window *window, const struct cursor *cursor,
			 struct state *state)
{
	const struct block *block;

	if (cursor->sequence < window->oldest || cursor->sequence > window->head) {
		state_fail(state, "sequence %" PRIu64 " is not in the window", cursor->sequence);
		return;
	}
	block = window_block(window, cursor);
	if (cursor->offset && (!block || cursor->offset >= window_sent_length(cursor, block)))
		state_fail(state, "offset %u is beyond the block", cursor->offset);
	if (cursor->held && !cursor->held->length)
		state_fail(state, "the held block is empty");
}

static void cursor_restore(struct window *window, struct cursor *cursor, struct state *state)
{
	uint32_t offset = cursor->offset;

	if (!state_failed(state))
		cursor_check(window, cursor, state);
	if (state_failed(state)) {
		if (cursor->held)
			block_unpin(cursor->held);
		cursor->held = NULL;
		return;
	}
	window_place_cursor(window, cursor, cursor->sequence);
	cursor->offset = offset;
	if (cursor->sequence < window->tail)
		window->tail = cursor->sequence;
}

void window_transfer_cursor(struct window *window, struct ring *ring, struct state *state,
			    struct cursor *cursor)
{
	if (!state_is_saving(state))
		cursor->held = NULL;
	state_enter(state, "cursor");
	state_u64(state, "sequence", &cursor->sequence);
	state_u32(state, "offset", &cursor->offset);
	state_bool(state, "framed", &cursor->framed);
	cursor_transfer_held(cursor, ring, state);
	state_leave(state);
	if (!state_is_saving(state))
		cursor_restore(window, cursor, state);
}
