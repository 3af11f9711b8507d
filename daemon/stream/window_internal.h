/* SPDX-License-Identifier: BSD-2-Clause */
/* For window.c and window_state.c only. */
#ifndef DMACAST_WINDOW_INTERNAL_H
#define DMACAST_WINDOW_INTERNAL_H

#include "stream/window.h"

struct place {
	struct block *block;
	struct cursor_list cursors;
};

struct window {
	uint64_t oldest, tail, head; /* sequences */
	uint64_t bytes;		     /* that entered since window_create() */
	bool (*keeps)(void *argument, const struct block *oldest); /* NULL: nothing is retained */
	void *keeps_argument;
	uint64_t mask;
	struct place place[]; /* a power of two of them, more than the ring has blocks */
};

static inline struct place *window_place(const struct window *window, uint64_t sequence)
{
	/* A window is const for its readers, but the lists of its places are not. */
	return (struct place *)(uintptr_t)&window->place[sequence & window->mask];
}

/** window_sent_length() - return the bytes of @block that @cursor sends. */
static inline uint32_t window_sent_length(const struct cursor *cursor, const struct block *block)
{
	return block_header_bytes(block, cursor->framed) + block->length;
}

/** window_place_cursor() - let @cursor begin with the block @sequence, or that of the head. */
void window_place_cursor(struct window *window, struct cursor *cursor, uint64_t sequence);

#endif
