// SPDX-License-Identifier: GPL-2.0-only
#include "channel_ring.h"

#include "block.h"
#include "channel_feed.h"
#include "channel_state.h"
#include "compat.h"
#include "fault.h"
#include "guard.h"
#include "mapping.h"
#include "memory.h"

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#define SETUP_FLAGS		(DMACAST_SETUP_STALL | DMACAST_SETUP_CONTIGUOUS)

/* QUEUED blocks that keep the engine busy: the one that it fills, and the next one. */
#define MIN_QUEUED		2

/*
 * Free an unused ring, but leave behind pages to which sockets still refer. Leak QUEUED blocks,
 * which an engine that cannot be stopped may write, and the ring, which its callbacks use. Under
 * mutex.
 */
static void ring_discard(struct channel *channel, struct ring *ring)
{
	bool is_leaked = false;

	if (!ring)
		return;
	for (u32 i = 0; i < ring->block_count; i++) {
		if (ring->block[i].state == BLOCK_QUEUED) {
			is_leaked = true;
			continue;
		}
		dmacast_memory_unmap(ring->block[i].memory, channel->engine.limits.dma_device);
		dmacast_guard_leave(channel, ring->block[i].memory);
		cond_resched();
	}
	compat_put_memcg(ring->memcg);
	if (!is_leaked)
		kvfree(ring);
}

static int ring_allocate_blocks(struct channel *channel, struct ring *ring)
{
	bool contiguous = ring->flags & DMACAST_SETUP_CONTIGUOUS;
	u32 count = ring->block_count;

	for (ring->block_count = 0; ring->block_count < count; ring->block_count++) {
		struct ring_block *block = &ring->block[ring->block_count];
		struct block_memory *memory;

		if (fatal_signal_pending(current))
			return -EINTR;
		memory = dmacast_memory_allocate(&channel->engine.limits, ring->block_size,
						 contiguous);
		if (PTR_ERR(memory) == -ENOMEM)
			dev_notice_ratelimited(&channel->dev,
					       "no memory for block %u of %u (%zu bytes%s): lower the ring size or the block size%s\n",
					       ring->block_count, count, ring->block_size,
					       contiguous ? ", contiguous" : "",
					       contiguous ? ", or set it up soon after boot" : "");
		if (IS_ERR(memory))
			return PTR_ERR(memory);
		block->memory = memory;
		block->channel = channel;
		block->index = ring->block_count;
		INIT_LIST_HEAD(&block->entry);
		cond_resched();
	}
	return 0;
}

static struct ring *ring_allocate(struct channel *channel, size_t block_size, u32 block_count,
				  u32 flags)
{
	struct ring *ring = dmacast_fault() ? NULL :
			    kvzalloc(struct_size(ring, block, block_count), GFP_KERNEL);
	int error;

	if (!ring) {
		dev_notice_ratelimited(&channel->dev,
				       "no memory to manage %u blocks: lower their number\n",
				       block_count);
		return ERR_PTR(-ENOMEM);
	}
	ring->block_size = block_size;
	ring->block_count = block_count;
	ring->flags = flags;
	ring->min_queued = min_t(u32, MIN_QUEUED, block_count - 1);
	ring->memcg = compat_get_memcg();
	error = ring_allocate_blocks(channel, ring);
	if (error) {
		ring_discard(channel, ring);
		return ERR_PTR(error);
	}
	return ring;
}

/* Make @ring the ring of a channel that has none. Under mutex. */
static void ring_install(struct channel *channel, struct ring *ring)
{
	spin_lock_irq(&channel->lock);
	for (u32 i = 0; i < ring->block_count; i++) {
		list_add_tail(&ring->block[i].entry, &channel->list[BLOCK_FREE]);
		channel->count[BLOCK_FREE]++;
	}
	spin_unlock_irq(&channel->lock);
	mutex_lock(&channel->mappings.lock);
	channel->ring = ring;
	mutex_unlock(&channel->mappings.lock);
}

/* Return the size in bytes of blocks to which sockets still refer. No mapping is left. */
static u64 ring_used_bytes(const struct ring *ring)
{
	u64 bytes = 0;

	for (u32 i = 0; ring && i < ring->block_count; i++) {
		if (ring->block[i].state != BLOCK_QUEUED &&
		    !dmacast_memory_is_unused(ring->block[i].memory))
			bytes += ring->block_size;
	}
	return bytes;
}

/* Free the channel's ring before one of @size bytes is made. Under mutex. Return: 0 or -EBUSY. */
static int ring_remove(struct channel *channel, u64 size)
{
	struct ring *old = channel->ring;

	mutex_lock(&channel->mappings.lock);
	if (dmacast_mappings_exist(&channel->mappings) ||
	    !dmacast_guard_may_leave(channel, ring_used_bytes(old),
				     max(size, dmacast_ring_size(old)))) {
		mutex_unlock(&channel->mappings.lock);
		return -EBUSY;
	}
	channel->ring = NULL;
	mutex_unlock(&channel->mappings.lock);

	spin_lock_irq(&channel->lock);
	for (int state = 0; state < BLOCK_STATES; state++) {
		INIT_LIST_HEAD(&channel->list[state]);
		channel->count[state] = 0;
	}
	spin_unlock_irq(&channel->lock);
	ring_discard(channel, old);
	return 0;
}

static void ring_reset_counters(struct channel *channel)
{
	spin_lock_irq(&channel->lock);
	memset(&channel->stats, 0, sizeof(channel->stats));
	channel->next_sequence = 0;
	channel->read_sequence = 0;
	channel->read_failures = 0;
	channel->suspends = 0;
	channel->read_suspends = 0;
	channel->skipped = 0;
	channel->skipped_flags = 0;
	channel->setups++;
	spin_unlock_irq(&channel->lock);
}

static int ring_check_geometry(struct channel *channel, const struct dmacast_setup *setup)
{
	const struct memory_limits *limits = &channel->engine.limits;
	struct device *dev = &channel->dev;
	u64 size = setup->block_size;

	for (size_t i = 0; i < ARRAY_SIZE(setup->reserved); i++) {
		if (setup->reserved[i]) {
			dev_notice_ratelimited(dev, "set-up: reserved members must be 0\n");
			return -EINVAL;
		}
	}
	if (setup->flags & ~SETUP_FLAGS) {
		dev_notice_ratelimited(dev, "set-up flags 0x%x: this driver knows only 0x%x\n",
				       setup->flags, SETUP_FLAGS);
		return -EINVAL;
	}
	if (!size && !setup->block_count)
		return 0;
	if (!size || size % PAGE_SIZE || size > MAX_BLOCK_SIZE) {
		dev_notice_ratelimited(dev,
				       "block size of %llu bytes: must be a multiple of %lu and at most %u\n",
				       size, PAGE_SIZE, MAX_BLOCK_SIZE);
		return -EINVAL;
	}
	if (setup->block_count < MIN_BLOCK_COUNT || setup->block_count > MAX_BLOCK_COUNT) {
		dev_notice_ratelimited(dev, "block count %u: must be from %u to %u\n",
				       setup->block_count, MIN_BLOCK_COUNT, MAX_BLOCK_COUNT);
		return -EINVAL;
	}
	/* Possible only with a size_t of 32 bits. */
	if (size * setup->block_count > SIZE_MAX) {
		dev_notice_ratelimited(dev,
				       "ring of %u blocks of %llu bytes: must have at most %zu bytes\n",
				       setup->block_count, size, SIZE_MAX);
		return -EINVAL;
	}
	if ((setup->flags & DMACAST_SETUP_CONTIGUOUS) &&
	    (get_order(size) > COMPAT_MAX_ORDER ||
	     (limits->max_segments == 1 && size > limits->max_segment_size))) {
		dev_notice_ratelimited(dev,
				       "contiguous blocks of %llu bytes: at most %llu are possible\n",
				       size,
				       min_t(u64, (u64)PAGE_SIZE << COMPAT_MAX_ORDER,
					     limits->max_segments == 1 ? limits->max_segment_size :
									 U64_MAX));
		return -EINVAL;
	}
	return 0;
}

/* Compare what determines the memory; the overrun policy does not. */
static bool ring_has_geometry(const struct ring *ring, const struct dmacast_setup *setup)
{
	return ring && ring->block_size == setup->block_size &&
	       ring->block_count == setup->block_count &&
	       !((ring->flags ^ setup->flags) & DMACAST_SETUP_CONTIGUOUS);
}

static bool ring_is_in_use(struct channel *channel)
{
	return channel->running || channel->count[BLOCK_LENT] ||
	       dmacast_mappings_exist(&channel->mappings);
}

/* Refuse a ring larger than available memory before its allocation makes the machine reclaim. */
static int ring_check_available(struct channel *channel, u64 size)
{
	u64 available = dmacast_memory_available();

	if (size <= available)
		return 0;
	dev_notice_ratelimited(&channel->dev,
			       "ring of %llu bytes: only %llu are available; lower the ring size\n",
			       size, available);
	return -ENOMEM;
}

int dmacast_channel_set_up(struct channel *channel, struct dmacast_setup *setup)
{
	struct ring *ring = NULL;
	int error;
	u64 size;

	if (channel->engine.contiguous && setup->block_count)
		setup->flags |= DMACAST_SETUP_CONTIGUOUS;
	error = ring_check_geometry(channel, setup);
	if (error)
		return error;
	if (ring_is_in_use(channel))
		return -EBUSY;
	size = setup->block_size * setup->block_count;
	if (ring_has_geometry(channel->ring, setup)) {
		spin_lock_irq(&channel->lock);
		dmacast_block_move_all(channel, BLOCK_READY, BLOCK_FREE);
		spin_unlock_irq(&channel->lock);
	} else {
		error = ring_remove(channel, size);
		if (!error)
			error = ring_check_available(channel, size);
		if (error)
			return error;
		if (setup->block_count)
			ring = ring_allocate(channel, setup->block_size, setup->block_count,
					     setup->flags);
		if (IS_ERR(ring))
			return PTR_ERR(ring);
		if (ring)
			ring_install(channel, ring);
	}
	if (channel->ring)
		channel->ring->flags = setup->flags;
	ring_reset_counters(channel);
	setup->map_size = size;
	setup->stride = setup->block_size;
	return 0;
}

void dmacast_channel_unmap_ring(struct channel *channel)
{
	struct ring *ring = channel->ring;

	for (u32 i = 0; ring && i < ring->block_count; i++) {
		if (ring->block[i].state != BLOCK_QUEUED)
			dmacast_memory_unmap(ring->block[i].memory,
					     channel->engine.limits.dma_device);
	}
}

void dmacast_channel_free_ring(struct channel *channel)
{
	ring_discard(channel, channel->ring);
}
