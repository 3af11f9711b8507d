// SPDX-License-Identifier: BSD-2-Clause
#include "ring/block.h"

#include "ring/ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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

struct block *block_copy_rest(const struct block *block, uint32_t offset)
{
	uint32_t length = block->length - offset;
	uint32_t header = offset ? 0 : block_header_bytes(block, true);
	struct block *copy = malloc(sizeof(*copy) + header + length);

	assert(offset < block->length && (block->in_window || block->pins));
	if (!copy)
		return NULL;
	*copy = (struct block){
		.header = header ? (unsigned char *)(copy + 1) : NULL,
		.data = (unsigned char *)(copy + 1) + header,
		.length = length,
		.sequence = block->sequence,
		.position = block->position + offset,
		.monotonic_ns = block->monotonic_ns,
		.captured_ns = block->captured_ns,
		.realtime_ns = block->realtime_ns,
		.pins = 1,
	};
	if (header)
		memcpy(copy->header, block->header, header);
	memcpy(copy->data, block->data + offset, length);
	return copy;
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
