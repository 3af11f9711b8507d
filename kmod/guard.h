/* SPDX-License-Identifier: GPL-2.0-only */
/* The guard: blocks whose pages are in use elsewhere wait in quarantine. See guard.c. */
#ifndef DMACAST_GUARD_H
#define DMACAST_GUARD_H

#include <linux/types.h>

struct block_memory;
struct channel;
struct ring_block;
struct workqueue_struct;

/* Runs the work items of channels; frozen during suspend. */
extern struct workqueue_struct *dmacast_workqueue;

/**
 * enum guard_finding - result of dmacast_guard_examine()
 * @GUARD_UNUSED: only the ring and its mappings refer to the block's pages
 * @GUARD_IN_USE: something else refers to a page, or did a moment ago
 * @GUARD_UNKNOWN: not decidable, because pages are being mapped or may be
 */
enum guard_finding {
	GUARD_UNUSED,
	GUARD_IN_USE,
	GUARD_UNKNOWN,
};

/**
 * dmacast_guard_schedule() - schedule the channel's work item, unless the channel is unbound
 * @channel: the channel
 * @delay: jiffies from now; replaces the time of an earlier call
 *
 * Context: Any; under lock.
 */
void dmacast_guard_schedule(struct channel *channel, unsigned long delay);

/**
 * dmacast_guard_schedule_next() - schedule the guard's next look, if it needs one
 * @channel: the channel
 *
 * Context: May sleep; takes the lock.
 */
void dmacast_guard_schedule_next(struct channel *channel);

/**
 * dmacast_guard_examine() - check the references to the pages of a block
 * @block: a block in the caller's hand
 *
 * Context: Any.
 * Return: the finding; GUARD_UNUSED is exact.
 */
enum guard_finding dmacast_guard_examine(struct ring_block *block);

/**
 * dmacast_guard_quarantine() - put a block into quarantine
 * @block: a block in the caller's hand
 *
 * Context: Any; takes the lock.
 */
void dmacast_guard_quarantine(struct ring_block *block);

/**
 * dmacast_guard_look() - move unused blocks out of quarantine, and give old ones fresh pages
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 */
void dmacast_guard_look(struct channel *channel);

/**
 * dmacast_guard_leave() - free memory that left the ring, at once or when it becomes unused
 * @channel: the channel
 * @memory: memory after dmacast_memory_unmap() that no page table maps
 *
 * Context: May sleep; under mutex.
 */
void dmacast_guard_leave(struct channel *channel, struct block_memory *memory);

/**
 * dmacast_guard_may_leave() - check whether more memory may leave the ring while in use
 * @channel: the channel
 * @bytes: size of the memory
 * @limit: limit of all memory that left the ring and is still in use, in bytes
 *
 * Context: May sleep; under mutex.
 * Return: true if it may; otherwise the reason is logged, once.
 */
bool dmacast_guard_may_leave(struct channel *channel, u64 bytes, u64 limit);

/**
 * dmacast_guard_free_left() - free memory that left the ring and is unused now
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 */
void dmacast_guard_free_left(struct channel *channel);

/**
 * dmacast_guard_drop_left() - drop the references to all memory that left the ring
 * @channel: an unused channel
 *
 * Context: May sleep.
 */
void dmacast_guard_drop_left(struct channel *channel);

#endif
