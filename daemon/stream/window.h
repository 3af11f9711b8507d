/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The window: the blocks, in the order of their sequence, that some client has not sent yet; and a cursor
 * for each client, which marks its position. Blocks enter at the head. When no cursor needs them, they leave,
 * or are retained for clients that begin with them later.
 *
 *   oldest      tail                        head
 *    │ 39 │ 40 │ 41 │ 42 │ 43 │ 44 │ 45 │ ·      sequence numbers; the next block will be 46
 *      retained  ▲         ▲              ▲
 *                slow      two others     cursors that have everything
 *
 * Each place has a list of the cursors that are at it, so the time to join, to advance and to find the
 * slowest cursor does not depend on the number of clients. A cursor that joins at a retained block takes the
 * tail back to it.
 */
#ifndef DMACAST_WINDOW_H
#define DMACAST_WINDOW_H

#include "ring/block.h"

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

struct cursor {
	TAILQ_ENTRY(cursor) entry;
	uint64_t sequence; /* of its current block; that of the head: it has everything */
	uint32_t offset;   /* bytes of the current block, or of `held`, that are done */
	bool framed;	   /* a block is its header and its data; both count in `offset` */
	struct block *
		held; /* block, or copy of its rest, that it finishes before the current one; or NULL */
};

TAILQ_HEAD(cursor_list, cursor);

struct ring;
struct state;
struct window;

/* Whole blocks, one behind the other. */
struct window_gap {
	uint64_t blocks, bytes;
};

/** window_create() - create a window for a ring of @blocks blocks. Return: NULL without memory. */
struct window *window_create(uint32_t blocks);

/** window_destroy() - free the window. No cursor may be in it. */
void window_destroy(struct window *window);

/**
 * window_set_keeper() - ask @keeps about the oldest block that no cursor needs: whether it stays.
 * @keeps: must not use the window but to read it; NULL: no such block stays
 */
void window_set_keeper(struct window *window,
		       bool (*keeps)(void *argument, const struct block *oldest), void *argument);

/** window_release_oldest() - release the oldest block. Return: false if some cursor needs it, or there is none. */
bool window_release_oldest(struct window *window);

/** window_push() - add a block at the head, and set its sequence and position. */
void window_push(struct window *window, struct block *block);

/**
 * window_join() - add a cursor at @sequence, which must be from window_oldest() to the head: there it gets the blocks
 * that enter from now on. `framed` must be set.
 */
void window_join(struct window *window, struct cursor *cursor, uint64_t sequence);

/** window_leave() - remove a cursor, and release the blocks that only it needed. */
void window_leave(struct window *window, struct cursor *cursor);

/** window_block() - return the current block of @cursor; NULL if it has everything. */
struct block *window_block(const struct window *window, const struct cursor *cursor);

/** window_done() - return the bytes of data of its current block that @cursor has done, without a header. */
uint32_t window_done(const struct window *window, const struct cursor *cursor);

/** window_is_between() - return true if no block is partly done. */
bool window_is_between(const struct cursor *cursor);

/** window_position() - return the bytes of the stream before the current block of @cursor. */
uint64_t window_position(const struct window *window, const struct cursor *cursor);

/**
 * window_run() - return how many consecutive blocks @cursor could send now, from window_block() on.
 * @max_blocks: upper bound
 * @bytes: the run ends with the block that completes this number of bytes, with headers if it is framed
 */
uint32_t window_run(const struct window *window, const struct cursor *cursor, uint32_t max_blocks,
		    uint64_t bytes);

/** window_advance() - mark @bytes more bytes as done, with those of headers if the cursor is framed. */
void window_advance(struct window *window, struct cursor *cursor, uint64_t bytes);

/**
 * window_skip() - move @cursor to the newest block, or behind it if it is there already. The cursor finishes a
 * block that is partly done first, so that only whole blocks are missing.
 * @may_pin: true: the cursor pins that block; false: it gets a copy of the rest
 * @lost: out: what this client will not get
 *
 * Return: false without memory for the copy; then the cursor has not moved.
 */
bool window_skip(struct window *window, struct cursor *cursor, bool may_pin,
		 struct window_gap *lost);

/** window_copied_bytes() - return the size of the copy that @cursor holds, or 0. */
static inline uint32_t window_copied_bytes(const struct cursor *cursor)
{
	return cursor->held && block_is_copy(cursor->held) ? cursor->held->length : 0;
}

/** window_slowest() - return a cursor at the tail; NULL if no cursor needs a block. */
struct cursor *window_slowest(const struct window *window);

/** window_at() - return the cursors at @sequence, which must be from the tail to the head. */
struct cursor_list *window_at(const struct window *window, uint64_t sequence);

/** window_block_at() - return the block at @sequence, which must be from window_oldest() to before the head. */
struct block *window_block_at(const struct window *window, uint64_t sequence);

/**
 * window_search() - return the sequence of the first block from @from on that is not before @value; that of the head if
 * all are.
 * @from: from the oldest block to the head
 * @is_before: true for no block behind one for which it is false
 */
uint64_t window_search(const struct window *window, uint64_t from,
		       bool (*is_before)(const struct block *block, uint64_t value),
		       uint64_t value);

/** window_length() - return the number of blocks that some cursor needs: from the tail to the head. */
uint32_t window_length(const struct window *window);

/** window_oldest() - return the sequence of the oldest block, retained or not; that of the head: there is none. */
uint64_t window_oldest(const struct window *window);

/** window_retained() - return the number of blocks that no cursor needs. @bytes: out: of data in them */
uint32_t window_retained(const struct window *window, uint64_t *bytes);

/** window_head() - return the sequence of the next block. */
uint64_t window_head(const struct window *window);

/** window_bytes() - return the bytes that entered since window_create(): the position of the next block. */
uint64_t window_bytes(const struct window *window);

/** window_lag() - return the bytes of data in the window and in a held block that @cursor has not done. */
uint64_t window_lag(const struct window *window, const struct cursor *cursor);

/**
 * window_transfer() - save the window as the object "window", or restore an empty one. Its cursors follow, each by
 * window_transfer_cursor().
 * @ring: where its blocks are; NULL: it has none
 *
 * Restoring, nothing may be pushed and no cursor may move before each cursor is in the window: a block that no cursor
 * needs leaves.
 */
void window_transfer(struct window *window, struct ring *ring, struct state *state);

/**
 * window_transfer_cursor() - save a cursor as the object "cursor", with the block that it holds or the copy of its
 * rest; or restore it and add it to the window.
 *
 * Restoring, if the state has failed, the cursor is not in the window, and holds nothing.
 */
void window_transfer_cursor(struct window *window, struct ring *ring, struct state *state,
			    struct cursor *cursor);

#endif
