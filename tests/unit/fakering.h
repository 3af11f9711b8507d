/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring that only keeps account, instead of ring_memory.c: it sees when a block comes back, and
 * that none comes back twice.
 */
#ifndef DMACAST_TEST_FAKERING_H
#define DMACAST_TEST_FAKERING_H

#include "dice.h"
#include "ring/ring.h"
#include "tap.h"

#include <string.h>

#define FAKE_BLOCKS 32U /* a power of two: the window must have one place more */
#define FAKE_BLOCK_SIZE 4096U

struct ring {
	struct block block[FAKE_BLOCKS];
	unsigned char header[FAKE_BLOCKS][FRAME_HEADER_BYTES];
	bool is_free[FAKE_BLOCKS];
	uint32_t free_blocks;
	int pinned_blocks, pinned_only_blocks;
};

static inline void fake_ring_init(struct ring *ring)
{
	memset(ring, 0, sizeof(*ring));
	for (uint32_t i = 0; i < FAKE_BLOCKS; i++) {
		ring->block[i].index = i;
		ring->block[i].header = ring->header[i];
		ring->block[i].ring = ring;
		ring->is_free[i] = true;
	}
	ring->free_blocks = FAKE_BLOCKS;
}

/* Any free block, filled to some length; there must be one. */
static inline struct block *fake_ring_take(struct ring *ring, struct dice *dice)
{
	uint32_t i = dice_roll(dice, 0, FAKE_BLOCKS - 1);

	while (!ring->is_free[i])
		i = (i + 1) % FAKE_BLOCKS;
	ring->is_free[i] = false;
	ring->free_blocks--;
	ring->block[i].length =
		dice_one_in(dice, 4) ? FAKE_BLOCK_SIZE : dice_roll(dice, 1, FAKE_BLOCK_SIZE);
	return &ring->block[i];
}

void ring_put(struct ring *ring, struct block *block)
{
	check(!ring->is_free[block->index], "block %u came back twice", block->index);
	check(!block->pins && !block->in_window, "block %u came back in use", block->index);
	ring->is_free[block->index] = true;
	ring->free_blocks++;
	block->next = NULL; /* nobody may follow it any more */
}

void ring_count_pinned(struct ring *ring, int change)
{
	ring->pinned_blocks += change;
}

void ring_count_pinned_only(struct ring *ring, int change)
{
	ring->pinned_only_blocks += change;
}

#endif
