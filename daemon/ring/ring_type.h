/* SPDX-License-Identifier: BSD-2-Clause */
/* For the kinds of ring only: what each of them implements behind ring.h, and what all share. */
#ifndef DMACAST_RING_TYPE_H
#define DMACAST_RING_TYPE_H

#include "ring/ring.h"

#include <stdbool.h>

struct ring_type {
	/* The block is free now: see to it that it is filled again some time. */
	void (*give_back)(struct ring *ring, struct block *block);
	/* See ring_ask_kernel(); NULL: there is no kernel side. */
	bool (*ask_kernel)(const struct ring *ring, struct ring_kernel_report *report);
	/* Free the memory, and what embeds @ring. */
	void (*destroy)(struct ring *ring);
};

TAILQ_HEAD(block_list, block);

/* The first member of each kind's own struct. */
struct ring {
	const struct ring_type *type;
	size_t block_size;
	uint32_t blocks;
	uint32_t free_blocks; /* that neither the source nor anyone behind it has */
	uint32_t pinned_blocks;
	uint32_t max_pinned;	     /* blocks; bounds what ring_pin_allowance() returns */
	uint32_t pinned_only_blocks; /* of these, outside of the window */
	struct block *block;	     /* all of them, by index */
	struct block_list free_list; /* those that ring_take() gives out, the newest first */
	uint32_t following;	     /* index of the block behind the one it gave out last */
	/* Whoever found no free block and waits for one. */
	void (*notify)(void *argument);
	void *notify_argument;
	uint32_t notify_at;    /* free blocks */
	bool wants_free;       /* call notify() at that number */
	enum ring_reuse reuse; /* while blocks are pinned */
	char text[96];
};

/**
 * ring_set_up() - make the blocks, all free; the list of free ones stays empty.
 * @ring: all zero
 *
 * Return: false without memory.
 */
bool ring_set_up(struct ring *ring, const struct ring_type *type, size_t block_size,
		 uint32_t blocks);

/** ring_place_blocks() - the blocks are @stride bytes apart, from @memory on. */
void ring_place_blocks(struct ring *ring, unsigned char *memory, size_t stride);

/** ring_list_free() - the block can be had by ring_take(). */
void ring_list_free(struct ring *ring, struct block *block);

/** ring_take_block() - take the block @index, which must be free, instead of any. */
struct block *ring_take_block(struct ring *ring, uint32_t index);

/** ring_tear_down() - free what ring_set_up() made. */
void ring_tear_down(struct ring *ring);

#endif
