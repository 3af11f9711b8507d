// SPDX-License-Identifier: BSD-2-Clause
#include "ring/block.h"

#include "ring/ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void recycle_if_idle(struct block *block)
{
	if (!block->in_window && !block->pins)
		/* model: give_back */
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
	/* model: unpin */
	if (--block->pins)
		return;
	if (block_is_copy(block)) {
		free(block);
		return;
	}
	ring_count_pinned(block->ring, -1);
	if (!block->in_window)
		ring_count_pinned_only(block->ring, -1);
	recycle_if_idle(block);
}

struct block *block_make_copy(const struct block *numbers, const unsigned char *header,
			      const unsigned char *data)
{
	uint32_t header_bytes = header ? FRAME_HEADER_BYTES : 0;
	struct block *copy = malloc(sizeof(*copy) + header_bytes + numbers->length);

	assert(numbers->length);
	if (!copy)
		return NULL;
	*copy = (struct block){
		.header = header ? (unsigned char *)(copy + 1) : NULL,
		.data = (unsigned char *)(copy + 1) + header_bytes,
		.length = numbers->length,
		.sequence = numbers->sequence,
		.position = numbers->position,
		.monotonic_ns = numbers->monotonic_ns,
		.captured_ns = numbers->captured_ns,
		.realtime_ns = numbers->realtime_ns,
		.pins = 1,
	};
	if (header)
		memcpy(copy->header, header, header_bytes);
	memcpy(copy->data, data, numbers->length);
	return copy;
}

struct block *block_copy_rest(const struct block *block, uint32_t offset)
{
	struct block numbers = *block;

	assert(offset < block->length && (block->in_window || block->pins));
	numbers.length -= offset;
	numbers.position += offset;
	return block_make_copy(&numbers, offset ? NULL : block->header, block->data + offset);
}

void block_restore_pin(struct block *block)
{
	assert(block_may_restore(block) && !block_is_copy(block));
	block->is_unclaimed = false;
	if (block->pins++)
		return;
	ring_count_pinned(block->ring, 1);
	if (!block->in_window)
		ring_count_pinned_only(block->ring, 1);
}

void block_restore_in_window(struct block *block)
{
	assert(block_may_restore(block) && !block->in_window);
	block->is_unclaimed = false;
	block->in_window = true;
	if (block->pins)
		ring_count_pinned_only(block->ring, -1);
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
