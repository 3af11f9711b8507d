/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data of a channel, which the layers from block.h to channel.h share, and its locks.
 *
 * Locks, in this order:
 *	mutex		process context; serializes calls of the owner and of the guard, and
 *			protects the life of the ring and of the engine. User memory is never
 *			accessed under it: userfaultfd or FUSE may withhold a page forever.
 *	mmap_lock	(the kernel's)
 *	mappings.lock	mutex; which pages the mappings show
 *	lock		spinlock, any context; states, lists, counters
 * DMA engine functions are never called under the spinlock.
 *
 * A block is in the list of its state, or in the hand of the one context that took it out.
 */
#ifndef DMACAST_CHANNEL_STATE_H
#define DMACAST_CHANNEL_STATE_H

#include "engine.h"
#include "memory.h"

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/dmaengine.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <uapi/dmacast.h>

struct address_space;
struct channel;
struct mem_cgroup;
struct task_struct;
struct vm_area_struct;

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
	struct block_memory *memory;	/* under mappings.lock, or with the block in hand */
	unsigned int insertions;	/* under mappings.lock; odd while pages are being mapped */
	/* Under the channel's lock: */
	struct list_head entry;		/* in the list of its state; empty: in hand */
	enum block_state state;
	dma_cookie_t cookie;		/* of the transfer; 0: not known yet */
	bool finished_early;		/* callback came before the cookie was known */
	bool failed;			/* outcome of the transfer, from the callback */
	u32 residue;			/* bytes not transferred, from the callback */
	u32 length;			/* bytes filled */
	u64 sequence;			/* number of the transfer */
	u64 failures;			/* failed transfers of the channel before this one */
	u64 suspends;			/* suspends of the channel before this transfer */
	u64 lost;			/* `lost` of its record; valid once lent */
	u32 flags;			/* `flags` of its record; the same */
	bool is_unlent;			/* lent, but its read() failed: the record is kept */
	u64 monotonic_ns;
	u64 realtime_ns;
	unsigned long quarantined_at;	/* jiffies */
	unsigned long replace_at;	/* jiffies */
};

struct ring {
	size_t block_size;
	u32 block_count;
	u32 flags;			/* DMACAST_SETUP_* */
	u32 min_queued;			/* QUEUED blocks below which the engine may run dry */
	struct mem_cgroup *memcg;	/* memory cgroup of the process that called SETUP */
	struct ring_block block[];
};

/* Mappings whose flags are watched. If there are more, the guard unmaps each block to be sure. */
#define MAX_WATCHED_MAPPINGS 8

struct ring_mappings {
	struct mutex lock;		/* see above; also held while entries are made */
	struct address_space *file;	/* under lock; of the open file, NULL when closed */
	unsigned int copies;		/* under lock; copies made by fork() and mremap() */
	spinlock_t watch_lock;		/* protects the following */
	unsigned int count;		/* existing mappings */
	struct vm_area_struct *watched[MAX_WATCHED_MAPPINGS];	/* NULL: unused slot */
};

struct channel {
	struct device dev;
	struct cdev cdev;
	struct engine engine;		/* under mutex; used elsewhere only while running */
	struct mutex mutex;		/* see above */
	struct ring *ring;		/* changed under mutex and mappings.lock */
	bool is_open;			/* under mutex */
	struct ring_mappings mappings;
	struct delayed_work work;	/* checks quarantine, feeds after a pause */
	struct list_head left;		/* under mutex; memory that left the ring in use */
	bool left_limit_logged;		/* under mutex */

	struct kthread_worker *feed_thread;	/* PREEMPT_RT: thread that feeds for tasks */
	struct kthread_work feed_work;	/* PREEMPT_RT: work of feed_thread */
	spinlock_t feed_lock;		/* PREEMPT_RT: held by the context that feeds */
	struct task_struct *feeder;	/* `current` of the context that feeds */
	wait_queue_head_t wait;		/* for a READY block, STOP or unbinding */
	spinlock_t lock;		/* see above; protects all of the following */
	bool dead;			/* unbound; never cleared */
	bool running;			/* between START and STOP */
	bool active;			/* running, and not suspended: the engine is fed */
	bool engine_stuck;		/* failed to stop; never cleared */
	bool feeding;			/* a context is in dmacast_channel_feed() */
	bool feed_again;		/* that context must repeat before it ends */
	struct list_head list[BLOCK_STATES];
	u32 count[BLOCK_STATES];
	u64 next_sequence;		/* sequence of the next transfer that finishes */
	u64 read_sequence;		/* sequence of the next record if nothing is lost */
	u64 read_failures;		/* `failures` of the last record's block */
	u64 suspends;			/* suspends while active */
	u64 read_suspends;		/* `suspends` of the last record's block */
	u64 skipped;			/* lost blocks that no gap in sequence shows */
	u32 skipped_flags;		/* flags of the records that these would have had */
	u32 setups; /* calls of dmacast_channel_set_up(); changed under mutex, too */
	u32 failures_in_a_row;
	u64 left_bytes;			/* size of the list `left`; changed under mutex, too */
	struct dmacast_stats stats;	/* the counters; its states are filled in when read */
};

/**
 * dmacast_ring_size() - calculate the size of a ring
 * @ring: the ring, or NULL
 *
 * Context: Any.
 * Return: bytes; 0 without a ring.
 */
static inline u64 dmacast_ring_size(const struct ring *ring)
{
	return ring ? (u64)ring->block_size * ring->block_count : 0;
}

#endif
