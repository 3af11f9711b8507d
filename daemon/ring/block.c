// SPDX-License-Identifier: BSD-2-Clause
#include "ring/block.h"

#include "ring/ring.h"

#include <assert.h>

static void recycle_if_idle(struct block *block)
{
	if (!block->in_window && !block->pins)
		ring_put(block->ring, block);
}

void block_pin(struct block *block)
{
	assert(block->in_window || block->pins);
	if (!block->pins++)
		ring_count_pinned(block->ring, 1);
}

void block_unpin(struct block *block)
{
	assert(block->pins);
	if (!--block->pins) {
		ring_count_pinned(block->ring, -1);
		if (!block->in_window)
			ring_count_pinned_only(block->ring, -1);
		recycle_if_idle(block);
	}
}

void block_enter_window(struct block *block)
{
	assert(!block->in_window && !block->pins);
	block->in_window = true;
}

void block_leave_window(struct block *block)
{
	assert(block->in_window);
	block->in_window = false;
	if (block->pins)
		ring_count_pinned_only(block->ring, 1);
	recycle_if_idle(block);
}
