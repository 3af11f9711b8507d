// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard: the engine never writes a page while anything except the ring and its mappings refers
 * to it, whatever the owner does and however it ends.
 *
 * A block that has such a reference when it should be queued waits in quarantine. In most cases
 * that is short: the kernel reports a completed send a moment before it drops its references. The
 * guard looks again after a tick, then at growing intervals, and whenever the owner returns blocks.
 * After REPLACE_AFTER it leaves the pages to their other users and gives the block fresh ones. The
 * total left behind is limited to the size of the ring; beyond that, blocks stay in quarantine.
 *
 * Why the look at a mapped block is exact
 * ---------------------------------------
 * For a run of pages let R be its number of references, M the number of page table entries that map
 * its pages, and F the number of all other references: by sockets, pipes, direct I/O. The ring
 * holds one reference. Each entry holds one, taken before M counts the entry and dropped after M no
 * longer counts it. Therefore at every moment
 *
 *	R >= 1 + M + F
 *
 * The look reads R first, then M. Before Linux 6.10 M is a sum over up to 1024 pages, read one by
 * one while other CPUs map and unmap. While no CPU makes an entry, M only falls, and the sum is at
 * most the M of the moment when R was read. If the sum is R - 1, then
 *
 *	R - 1 <= M <= R - 1 - F
 *
 * at that moment, and F was 0. Entries that are unmapped meanwhile do not matter. From 6.10 on M is
 * one atomic number, and the same holds, again only if no entry is made between the two reads.
 *
 * Entries are made in two ways. The page fault handler counts insertions into a block before and
 * after (mapping.c). fork() copies the entries of a mapping that its owner made copyable with
 * MADV_DOFORK; dmacast_mappings_begin_look() and dmacast_mappings_end_look() detect that as well.
 * mremap() moves entries, and M counts them all the time. If a look detects either of the two, its
 * result is unknown. The guard then unmaps the block and checks whether R is 1: M and F are then 0.
 *
 * The guard does not cover references that are taken through a mapping after the block was
 * returned: a block that is not LENT may change at any time, as uapi/dmacast.h says.
 */
#include "guard.h"

#include "block.h"
#include "channel_state.h"
#include "compat.h"
#include "mapping.h"
#include "memory.h"
#include "trace.h"

#include <linux/jiffies.h>
#include <linux/mm.h>

/* Time in quarantine after which a block gets fresh pages (jiffies, as all of these). */
#define REPLACE_AFTER	HZ
/* Longest pause between looks at blocks in quarantine. */
#define MAX_PAUSE	max(HZ / 20, 1)
/* Pause before another attempt, if there was no memory or too much was left behind. */
#define REPLACE_RETRY	HZ
/* Pause between looks at memory that was left behind. */
#define LEFT_PAUSE	max(HZ / 4, 1)

struct workqueue_struct *dmacast_workqueue;

void dmacast_guard_schedule(struct channel *channel, unsigned long delay)
{
	lockdep_assert_held(&channel->lock);
	/* Under the lock: never after dmacast_channel_remove() has cancelled the work. */
	if (!channel->dead)
		mod_delayed_work(dmacast_workqueue, &channel->work, delay);
}

enum guard_finding dmacast_guard_examine(struct ring_block *block)
{
	struct channel *channel = block->channel;
	struct mapping_look look;
	bool is_unused;

	/* Exact by itself: a single reference leaves no entry and no other user. */
	if (dmacast_memory_is_unused(block->memory))
		return GUARD_UNUSED;
	if (!dmacast_mappings_begin_look(channel, block, &look))
		return GUARD_UNKNOWN;
	is_unused = dmacast_memory_is_only_mapped(block->memory);
	if (!dmacast_mappings_end_look(channel, block, &look))
		return GUARD_UNKNOWN;
	return is_unused ? GUARD_UNUSED : GUARD_IN_USE;
}

void dmacast_guard_quarantine(struct ring_block *block)
{
	struct channel *channel = block->channel;
	unsigned long flags;

	spin_lock_irqsave(&channel->lock, flags);
	dmacast_block_set_state(block, BLOCK_QUARANTINE);
	block->quarantined_at = jiffies;
	block->replace_at = jiffies + REPLACE_AFTER;
	channel->stats.quarantined++;
	trace_dmacast_quarantine(block);
	dmacast_guard_schedule(channel, 1);
	spin_unlock_irqrestore(&channel->lock, flags);
}

/* ---- memory left behind ---- */

static void guard_add_left(struct channel *channel, s64 bytes)
{
	spin_lock_irq(&channel->lock);
	channel->left_bytes += bytes;
	spin_unlock_irq(&channel->lock);
}

void dmacast_guard_leave(struct channel *channel, struct block_memory *memory)
{
	size_t size = dmacast_memory_free_unused(memory);

	if (!size) {
		dmacast_memory_free(memory);
		return;
	}
	list_add_tail(&memory->entry, &channel->left);
	guard_add_left(channel, size);
	spin_lock_irq(&channel->lock);
	/* Unlike mod_delayed_work(), this keeps the time of an earlier look. */
	if (!channel->dead)
		queue_delayed_work(dmacast_workqueue, &channel->work, LEFT_PAUSE);
	spin_unlock_irq(&channel->lock);
}

void dmacast_guard_free_left(struct channel *channel)
{
	struct block_memory *memory, *next;

	list_for_each_entry_safe(memory, next, &channel->left, entry) {
		size_t before = (size_t)dmacast_memory_pages(memory) << PAGE_SHIFT;
		size_t after = dmacast_memory_free_unused(memory);

		guard_add_left(channel, (s64)after - (s64)before);
		if (!after) {
			list_del(&memory->entry);
			dmacast_memory_free(memory);
		}
		cond_resched();
	}
	if (list_empty(&channel->left))
		channel->left_limit_logged = false;
}

void dmacast_guard_drop_left(struct channel *channel)
{
	struct block_memory *memory, *next;

	list_for_each_entry_safe(memory, next, &channel->left, entry)
		dmacast_memory_free(memory);
}

bool dmacast_guard_may_leave(struct channel *channel, u64 bytes, u64 limit)
{
	if (!bytes || channel->left_bytes + bytes <= limit)
		return true;
	dmacast_guard_free_left(channel);
	if (channel->left_bytes + bytes <= limit)
		return true;
	if (!channel->left_limit_logged)
		dev_notice(&channel->dev,
			   "%llu bytes that left the ring are still referenced by sockets or pipes, and %llu more would exceed the limit of %llu; close what holds them\n",
			   channel->left_bytes, bytes, limit);
	channel->left_limit_logged = true;
	return false;
}

/* ---- fresh pages ---- */

/* Allocate pages, charged to the process that set up the ring, from a kernel thread. */
static struct block_memory *guard_allocate_fresh(struct channel *channel)
{
	const struct ring *ring = channel->ring;
	struct mem_cgroup *before = compat_set_active_memcg(ring->memcg);
	struct block_memory *memory;

	memory = dmacast_memory_allocate(&channel->engine.limits, ring->block_size,
					 ring->flags & DMACAST_SETUP_CONTIGUOUS);
	compat_set_active_memcg(before);
	return memory;
}

/* Give @block fresh pages. Return: false if there is no memory or too much is left behind. */
static bool guard_replace_pages(struct channel *channel, struct ring_block *block)
{
	const struct ring *ring = channel->ring;
	struct block_memory *fresh, *old;

	block->replace_at = jiffies + REPLACE_RETRY;
	if (!dmacast_guard_may_leave(channel, ring->block_size, dmacast_ring_size(ring))) {
		spin_lock_irq(&channel->lock);
		channel->stats.left_refused++;
		spin_unlock_irq(&channel->lock);
		return false;
	}
	fresh = ring->block_size <= dmacast_memory_available() ? guard_allocate_fresh(channel) :
								 ERR_PTR(-ENOMEM);
	if (IS_ERR(fresh)) {
		dev_notice_ratelimited(&channel->dev,
				       "no memory for fresh pages of block %u, which a socket still holds; the ring stays smaller until memory is free\n",
				       block->index);
		return false;
	}
	mutex_lock(&channel->mappings.lock);
	/* model: replace */
	old = block->memory;
	block->memory = fresh;
	/* The next page fault maps the fresh pages. */
	dmacast_mappings_remove_block(channel, block);
	mutex_unlock(&channel->mappings.lock);
	dmacast_memory_unmap(old, channel->engine.limits.dma_device);
	dmacast_guard_leave(channel, old);
	spin_lock_irq(&channel->lock);
	channel->stats.replaced++;
	spin_unlock_irq(&channel->lock);
	return true;
}

/* ---- quarantine ---- */

/* Return true if @block is unused. No page is inserted meanwhile; only fork() leaves it unknown. */
static bool guard_finds_unused(struct channel *channel, struct ring_block *block)
{
	enum guard_finding finding;

	mutex_lock(&channel->mappings.lock);
	finding = dmacast_guard_examine(block);
	if (finding == GUARD_UNKNOWN) {
		dmacast_mappings_remove_block(channel, block);
		finding = dmacast_guard_examine(block);
	}
	mutex_unlock(&channel->mappings.lock);
	return finding == GUARD_UNUSED;
}

void dmacast_guard_look(struct channel *channel)
{
	struct ring_block *block;
	LIST_HEAD(waiting);

	/* Only this function takes blocks out of quarantine; others may be added meanwhile. */
	spin_lock_irq(&channel->lock);
	list_splice_init(&channel->list[BLOCK_QUARANTINE], &waiting);
	spin_unlock_irq(&channel->lock);
	while ((block = list_first_entry_or_null(&waiting, struct ring_block, entry))) {
		list_del_init(&block->entry);
		/* model: look */
		if (guard_finds_unused(channel, block))
			dmacast_block_move(block, BLOCK_FREE);
		else if (time_before(jiffies, block->replace_at) ||
			 !guard_replace_pages(channel, block))
			dmacast_block_move(block, BLOCK_QUARANTINE);
		else
			dmacast_block_move(block, BLOCK_FREE);
		cond_resched();
	}
}

/* Return the pause before the next look (jiffies): a quarter of the age of the youngest block. */
static unsigned long guard_pause(struct channel *channel)
{
	unsigned long pause = MAX_PAUSE, age;
	struct ring_block *block;

	list_for_each_entry(block, &channel->list[BLOCK_QUARANTINE], entry) {
		age = jiffies - block->quarantined_at;
		pause = min(pause, age / 4 + 1);
	}
	return pause;
}

void dmacast_guard_schedule_next(struct channel *channel)
{
	spin_lock_irq(&channel->lock);
	if (channel->count[BLOCK_QUARANTINE])
		dmacast_guard_schedule(channel, guard_pause(channel));
	else if (!list_empty(&channel->left))
		dmacast_guard_schedule(channel, LEFT_PAUSE);
	spin_unlock_irq(&channel->lock);
}
