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
 * enum guard_finding - what guard_examine() finds out
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
 * guard_schedule() - let the channel's work item run, unless the channel is unbound
 * @channel: the channel
 * @delay: jiffies from now; an earlier time that was asked for is forgotten
 *
 * Context: Any; under lock.
 */
void guard_schedule(struct channel *channel, unsigned long delay);

/**
 * guard_schedule_next() - the same, when the guard wants to look again, if it does
 * @channel: the channel
 *
 * Context: May sleep; takes the lock.
 */
void guard_schedule_next(struct channel *channel);

/**
 * guard_examine() - look at the references to the pages of a block
 * @block: a block in the caller's hand
 *
 * Context: Any.
 * Return: what was found; GUARD_UNUSED is exact.
 */
enum guard_finding guard_examine(struct ring_block *block);

/**
 * guard_quarantine() - put a block into quarantine
 * @block: a block in the caller's hand
 *
 * Context: Any; takes the lock.
 */
void guard_quarantine(struct ring_block *block);

/**
 * guard_look() - see whether blocks in quarantine are unused now, and give old ones fresh pages
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 */
void guard_look(struct channel *channel);

/**
 * guard_leave() - free memory that left the ring, now or when it is unused
 * @channel: the channel
 * @memory: memory after memory_unmap() that no page table maps
 *
 * Context: May sleep; under mutex.
 */
void guard_leave(struct channel *channel, struct block_memory *memory);

/**
 * guard_may_leave() - see whether so much more memory may leave the ring while it is in use
 * @channel: the channel
 * @bytes: size of the memory
 * @limit: limit of all that has left and is still in use, in bytes
 *
 * Context: May sleep; under mutex.
 * Return: true if it may; else the log says why not, once.
 */
bool guard_may_leave(struct channel *channel, u64 bytes, u64 limit);

/**
 * guard_free_left() - free what left the ring and is unused now
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 */
void guard_free_left(struct channel *channel);

/**
 * guard_drop_left() - drop the references to all that left the ring
 * @channel: a channel that nobody uses
 *
 * Context: May sleep.
 */
void guard_drop_left(struct channel *channel);

#endif
