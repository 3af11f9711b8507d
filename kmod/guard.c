// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard: no page is written by the engine while anything but the ring's own mappings refers to
 * it, whatever the owner said, did, or died of.
 *
 * A block that is not idle when it should be queued waits in quarantine. Mostly that is short, as
 * the kernel tells of a completed send a moment before it drops its references. It is looked at
 * again after a tick, then less and less often, and whenever the owner gives blocks back. After
 * REPLACE_AFTER the pages are left to whoever has them, and the block gets fresh ones.
 */
#include "channel.h"

#include "trace.h"

#include <linux/jiffies.h>
#include <linux/mm.h>

#define REPLACE_AFTER	HZ
#define LONGEST_PAUSE	max(HZ / 20, 1)
/* When there was no memory for fresh pages. */
#define REPLACE_AGAIN	HZ

void guard_schedule(struct channel *channel, unsigned long delay)
{
	lockdep_assert_held(&channel->lock);
	/* Under the lock, so that it is not after channel_remove() cancelled it. */
	if (!channel->dead)
		mod_delayed_work(system_wq, &channel->guard_work, delay);
}

void guard_quarantine(struct ring_block *block)
{
	struct channel *channel = block->channel;
	unsigned long flags;

	spin_lock_irqsave(&channel->lock, flags);
	block_set_state(block, BLOCK_QUARANTINE);
	block->quarantined_at = jiffies;
	block->replace_at = jiffies + REPLACE_AFTER;
	channel->stats.quarantined++;
	trace_dmacast_quarantine(block);
	guard_schedule(channel, 1);
	spin_unlock_irqrestore(&channel->lock, flags);
}

static bool replace_pages(struct channel *channel, struct ring_block *block)
{
	const struct ring *ring = channel->ring;
	struct block_memory fresh, old;
	int error;

	error = memory_allocate(&fresh, &channel->engine.limits, ring->block_size,
				ring->flags & DMACAST_SETUP_CONTIGUOUS);
	if (error) {
		dev_notice_ratelimited(&channel->dev,
				       "no memory for fresh pages of block %u, which a socket still holds: the ring is smaller until there is some\n",
				       block->index);
		block->replace_at = jiffies + REPLACE_AGAIN;
		return false;
	}
	mutex_lock(&channel->map_lock);
	old = block->memory;
	block->memory = fresh;
	/* The mapping gets the fresh pages by the next page fault. */
	if (channel->mapping)
		unmap_mapping_range(channel->mapping, (loff_t)block->index * ring->block_size,
				    ring->block_size, 1);
	mutex_unlock(&channel->map_lock);
	memory_unmap(&old, channel->engine.limits.dma_device);
	memory_free(&old);
	spin_lock_irq(&channel->lock);
	channel->stats.replaced++;
	spin_unlock_irq(&channel->lock);
	return true;
}

void guard_look(struct channel *channel)
{
	struct ring_block *block;
	LIST_HEAD(waiting);

	/* Nobody else takes a block out of quarantine; others may come in meanwhile. */
	spin_lock_irq(&channel->lock);
	list_splice_init(&channel->list[BLOCK_QUARANTINE], &waiting);
	spin_unlock_irq(&channel->lock);
	while ((block = list_first_entry_or_null(&waiting, struct ring_block, entry))) {
		list_del_init(&block->entry);
		if (memory_is_idle(&block->memory))
			block_move(block, BLOCK_FREE);
		else if (time_before(jiffies, block->replace_at) || !replace_pages(channel, block))
			block_move(block, BLOCK_QUARANTINE);
		else
			block_move(block, BLOCK_FREE);
	}
}

/* Young blocks are looked at often, old ones now and then. */
static unsigned long pause_until_next(struct channel *channel)
{
	unsigned long pause = LONGEST_PAUSE, age;
	struct ring_block *block;

	list_for_each_entry(block, &channel->list[BLOCK_QUARANTINE], entry) {
		age = jiffies - block->quarantined_at;
		pause = min(pause, age / 4 + 1);
	}
	return pause;
}

void guard_work(struct work_struct *work)
{
	struct channel *channel = container_of(to_delayed_work(work), struct channel, guard_work);

	mutex_lock(&channel->mutex);
	if (!channel->dead) {
		guard_look(channel);
		channel_feed(channel);
	}
	spin_lock_irq(&channel->lock);
	if (channel->count[BLOCK_QUARANTINE])
		guard_schedule(channel, pause_until_next(channel));
	spin_unlock_irq(&channel->lock);
	mutex_unlock(&channel->mutex);
}
