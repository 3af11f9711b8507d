/* SPDX-License-Identifier: BSD-2-Clause */
/* For the kinds of ring only: the functions that each implements behind ring.h, and what they share. */
#ifndef DMACAST_RING_TYPE_H
#define DMACAST_RING_TYPE_H

#include "ring/ring.h"

#include <stdbool.h>

/* With DMACAST_POISON, what a block and its header are filled with when it comes back. */
#define RING_POISON_BYTE 0xdb

enum ring_kind { RING_KIND_MEMORY, RING_KIND_DEVICE, RING_KINDS };

struct ring_type {
	enum ring_kind kind;
	/* The block is free now: make it available for filling again. */
	void (*give_back)(struct ring *ring, struct block *block);
	/* See ring_ask_kernel(); NULL: there is no kernel side. */
	bool (*ask_kernel)(const struct ring *ring, struct ring_kernel_report *report);
	/* Save what ring_save() does not: where the memory is. */
	void (*save)(struct ring *ring, struct state *state);
	/* The blocks are restored: those that are not taken are free. */
	void (*restored)(struct ring *ring);
	/* Free the memory, and what embeds @ring. */
	void (*destroy)(struct ring *ring);
};

TAILQ_HEAD(block_list, block);

/* The first member of each kind's own struct. */
struct ring {
	const struct ring_type *type;
	size_t block_size;
	uint32_t blocks;
	uint32_t free_blocks; /* held neither by the source nor by anything behind it */
	uint32_t pinned_blocks;
	uint32_t max_pinned;	     /* blocks; bounds what ring_pin_allowance() returns */
	uint32_t pinned_only_blocks; /* those outside of the window */
	struct block *block;	     /* all of them, by index */
	unsigned char *headers;	     /* those of the blocks, by index; NULL: not mapped */
	int headers_fd;		     /* the memfd that they are in; -1: none */
	bool is_restored;	     /* the headers have content */
	struct block_list free_list; /* those that ring_take() gives out, the newest first */
	uint32_t following;	     /* index of the block behind the one given out last */
	/* Of the source that found no free block and waits for one: */
	void (*notify)(void *argument);
	void *notify_argument;
	uint32_t notify_at;    /* free blocks */
	bool wants_free;       /* call notify() at that number */
	enum ring_reuse reuse; /* while blocks are pinned */
	char text[96];
};

/**
 * ring_set_up() - allocate the blocks and map their headers, all free; the list of free ones stays empty.
 * @ring: all zero
 * @headers_fd: taken over, also on failure: what ring_restore() found; -1: create new ones
 *
 * Return: false without memory.
 */
bool ring_set_up(struct ring *ring, const struct ring_type *type, size_t block_size,
		 uint32_t blocks, int headers_fd);

/** ring_place_some() - set up @count blocks from the index @first on, as ring_place_blocks() does. */
void ring_place_some(struct ring *ring, unsigned char *memory, size_t stride, uint32_t first,
		     uint32_t count);

/** ring_place_blocks() - set up the blocks, with memory @stride bytes apart, from @memory on. */
void ring_place_blocks(struct ring *ring, unsigned char *memory, size_t stride);

/** ring_list_free() - let ring_take() give out the block. */
void ring_list_free(struct ring *ring, struct block *block);

/** ring_take_block() - take the block @index, which must be free. */
struct block *ring_take_block(struct ring *ring, uint32_t index);

/* What ring_restore() found, for the kind of the ring. */
struct ring_restored {
	size_t block_size;
	uint32_t blocks;
	int headers_fd; /* taken over by ring_set_up() */
};

/**
 * ring_file_has() - return true if the file has at least @bytes, so that its mapping can be accessed; otherwise the
 * state fails.
 */
bool ring_file_has(struct state *state, int fd, uint64_t bytes);

/** ring_tear_down() - free what ring_set_up() made. */
void ring_tear_down(struct ring *ring);

#endif
