/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The window: the blocks, in the order of their sequence, that some client has not sent yet; and
 * the cursors, one for each client, that say how far it is. Blocks enter at the head, and leave at
 * the tail when no cursor needs them.
 *
 *     tail                        head
 *      │ 41 │ 42 │ 43 │ 44 │ 45 │ ·         sequence numbers; the next block will be 46
 *        ▲         ▲              ▲
 *        slow      two others     those who have everything
 *
 * Each place has the list of the cursors that are at it, so that joining, moving on and finding the
 * slowest take the same time whatever the number of clients.
 */
#ifndef DMACAST_WINDOW_H
#define DMACAST_WINDOW_H

#include "ring/block.h"

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

struct cursor {
	TAILQ_ENTRY(cursor) entry;
	uint64_t sequence;  /* of the block that it is at; the head's: it has everything */
	uint32_t offset;    /* bytes of that block that are done */
	struct block *held; /* a block that left its place, but is to be finished first */
};

TAILQ_HEAD(cursor_list, cursor);

struct window;

/** window_create() - for a ring of @blocks blocks. Return: NULL without memory. */
struct window *window_create(uint32_t blocks);

/** window_destroy() - no cursor may be left. */
void window_destroy(struct window *window);

/** window_push() - a new block at the head; it gets its sequence and position here. */
void window_push(struct window *window, struct block *block);

/** window_join() - a new cursor, at the head: it gets the blocks that come from now on. */
void window_join(struct window *window, struct cursor *cursor);

/** window_leave() - the cursor needs nothing any more. */
void window_leave(struct window *window, struct cursor *cursor);

/** window_block() - the block that @cursor is at; NULL when it has everything. */
struct block *window_block(const struct window *window, const struct cursor *cursor);

/**
 * window_run() - how many blocks in a row @cursor could send now, from window_block() on.
 * @bytes: no more than reach this many bytes, but at least one
 */
uint32_t window_run(const struct window *window, const struct cursor *cursor, uint32_t most,
		    uint64_t bytes);

/** window_advance() - so many more bytes are done. */
void window_advance(struct window *window, struct cursor *cursor, uint64_t bytes);

/**
 * window_skip() - let @cursor jump to the newest whole block, or behind it if it is there already.
 * @may_hold: a block that is partly done may be kept aside to be finished first, at the price of
 *	one pinned block; else the jump is in the middle of it
 *
 * Return: bytes that this client will not get.
 */
uint64_t window_skip(struct window *window, struct cursor *cursor, bool may_hold);

/** window_slowest() - a cursor at the tail; NULL when the window is empty. */
struct cursor *window_slowest(const struct window *window);

/** window_at() - the cursors at the place of @sequence, which is from the tail to the head. */
struct cursor_list *window_at(const struct window *window, uint64_t sequence);

/** window_length() - blocks in the window. */
uint32_t window_length(const struct window *window);

/** window_head() - the sequence that the next block gets. */
uint64_t window_head(const struct window *window);

/** window_bytes() - all bytes that ever entered: the position of the next block. */
uint64_t window_bytes(const struct window *window);

/** window_lag() - bytes that entered and that @cursor has not done, dropped ones not counted. */
uint64_t window_lag(const struct window *window, const struct cursor *cursor);

#endif
