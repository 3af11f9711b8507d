/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A block of a ring, and its state. uapi/dmacast.h explains the states; this is who changes them:
 *
 *	FREE        dmacast_channel_feed() -> QUEUED; in use: -> QUARANTINE
 *	QUEUED      the transfer is done -> READY; it failed, or is empty: -> FREE
 *	READY       dmacast_channel_lend() -> LENT; overrun: -> FREE
 *	LENT        dmacast_channel_return() -> FREE; dmacast_channel_unlend() -> READY;
 *	            close() -> FREE, or QUARANTINE if in use
 *	QUARANTINE  dmacast_guard_look() -> FREE when unused, or with fresh pages
 *
 * Every block, from wherever it comes, passes one gate on its way to the engine:
 * dmacast_channel_feed() looks whether anything else still refers to its pages (guard.c).
 */
#ifndef DMACAST_BLOCK_H
#define DMACAST_BLOCK_H

#include <linux/dmaengine.h>
#include <linux/list.h>
#include <linux/types.h>

struct block_memory;
struct channel;
struct mem_cgroup;

enum block_state {
	BLOCK_FREE,
	BLOCK_QUEUED,
	BLOCK_READY,
	BLOCK_LENT,
	BLOCK_QUARANTINE,
	BLOCK_STATES,
};

struct ring_block {
	struct channel *channel;
	u32 index;
	struct block_memory *memory;	/* under mappings.lock, but for those who have the block */
	unsigned int insertions;	/* under mappings.lock; odd: pages are being mapped */
	/* Under the channel's lock: */
	struct list_head entry;		/* of its state's list; empty: in a context's hand */
	enum block_state state;
	dma_cookie_t cookie;		/* of the transfer; 0: not known yet */
	bool finished_early;		/* completed before the cookie was known */
	bool failed;			/* of the transfer, as the callback said */
	u32 residue;			/* bytes, the same */
	u32 length;
	u64 sequence;
	u64 failures;			/* failed transfers of the channel before it */
	u64 suspends;			/* the same of suspends */
	u64 lost;			/* of its record, */
	u32 flags;			/* and these, */
	bool is_unlent;			/* which it has: its read() failed */
	u64 monotonic_ns;
	u64 realtime_ns;
	unsigned long quarantined_at;	/* jiffies */
	unsigned long replace_at;	/* jiffies */
};

struct ring {
	size_t block_size;
	u32 block_count;
	u32 flags;			/* DMACAST_SETUP_* */
	u32 queue_least;		/* with fewer QUEUED it is about to run dry */
	struct mem_cgroup *memcg;	/* of the process that set it up */
	struct ring_block block[];
};

/**
 * dmacast_ring_size() - get the size of a ring
 * @ring: the ring, or NULL
 *
 * Context: Any.
 * Return: bytes; 0 without a ring.
 */
static inline u64 dmacast_ring_size(const struct ring *ring)
{
	return ring ? (u64)ring->block_size * ring->block_count : 0;
}

/**
 * dmacast_block_set_state() - change the state of a block, which becomes the last one in it
 * @block: the block
 * @state: its new state
 *
 * This is the one place where a state changes.
 *
 * Context: Any; under lock.
 */
void dmacast_block_set_state(struct ring_block *block, enum block_state state);

/**
 * dmacast_block_move() - change the state of a block in the caller's hand
 * @block: the block
 * @state: its new state
 *
 * Context: Any; takes the lock.
 */
void dmacast_block_move(struct ring_block *block, enum block_state state);

/**
 * dmacast_block_take() - take the oldest block in a state out of the state's list
 * @channel: the channel of the ring
 * @state: the state, which the block keeps
 *
 * Context: Any; under lock.
 * Return: the block, in the caller's hand; NULL if there is none.
 */
struct ring_block *dmacast_block_take(struct channel *channel, enum block_state state);

/**
 * dmacast_block_move_all() - change the state of all blocks in a state that are in nobody's hand
 * @channel: the channel of the ring
 * @from: their state
 * @to: their new state
 *
 * Context: Any; under lock.
 */
void dmacast_block_move_all(struct channel *channel, enum block_state from, enum block_state to);

#endif
