/* SPDX-License-Identifier: GPL-2.0-only */
/* The guard: see guard.c. */
#ifndef DMACAST_GUARD_H
#define DMACAST_GUARD_H

#include <linux/types.h>

struct block_memory;
struct channel;
struct ring_block;
struct workqueue_struct;

/* For the work item of channels; it stands still during suspend. */
extern struct workqueue_struct *dmacast_workqueue;

/**
 * enum guard_finding - what dmacast_guard_examine() finds out
 * @GUARD_UNUSED: only the ring and its mappings refer to the block's pages
 * @GUARD_IN_USE: something else does, too, or did a moment ago
 * @GUARD_UNKNOWN: pages are being mapped
 */
enum guard_finding {
	GUARD_UNUSED,
	GUARD_IN_USE,
	GUARD_UNKNOWN,
};

/**
 * dmacast_guard_schedule() - let the channel's work item run, unless the channel is unbound
 * @channel: the channel
 * @delay: jiffies from now; an earlier time that was asked for is forgotten
 *
 * Context: Any; under lock.
 */
void dmacast_guard_schedule(struct channel *channel, unsigned long delay);

/**
 * dmacast_guard_schedule_next() - the same, when the guard wants to look again, if it does
 * @channel: the channel
 *
 * Context: May sleep; takes the lock.
 */
void dmacast_guard_schedule_next(struct channel *channel);

/**
 * dmacast_guard_examine() - look at the references to the pages of a block
 * @block: a block in the caller's hand
 *
 * Context: Any.
 * Return: what was found; GUARD_UNUSED is exact.
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
 * dmacast_guard_look() - free what is unused in quarantine, and give old blocks fresh pages
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 */
void dmacast_guard_look(struct channel *channel);

/**
 * dmacast_guard_leave() - free memory that left the ring, now or when it is unused
 * @channel: the channel
 * @memory: memory after dmacast_memory_unmap() that no page table maps
 *
 * Context: May sleep; under mutex.
 */
void dmacast_guard_leave(struct channel *channel, struct block_memory *memory);

/**
 * dmacast_guard_may_leave() - see whether more memory may leave the ring while it is in use
 * @channel: the channel
 * @bytes: size of the memory
 * @limit: limit of all that has left and is still in use, in bytes
 *
 * Context: May sleep; under mutex.
 * Return: true if it may; else the log says why not, once.
 */
bool dmacast_guard_may_leave(struct channel *channel, u64 bytes, u64 limit);

/**
 * dmacast_guard_free_left() - free what left the ring and is unused now
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 */
void dmacast_guard_free_left(struct channel *channel);

/**
 * dmacast_guard_drop_left() - drop the references to all that left the ring
 * @channel: a channel that nobody uses
 *
 * Context: May sleep.
 */
void dmacast_guard_drop_left(struct channel *channel);

#endif
