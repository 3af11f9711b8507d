/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data of a channel, which the layers from block.h to channel.h share, and its locks.
 *
 * Locks, in this order:
 *	mutex		process context; one call of the owner, or of the guard, at a time; also the
 *			life of the ring and of the engine. No user memory is accessed under it:
 *			userfaultfd or FUSE may hold back a page for ever.
 *	mmap_lock	(the kernel's)
 *	mappings.lock	mutex; which pages are where in mappings
 *	lock		spinlock, any context; states, lists, counters
 * No function of the DMA engine is called under the spinlock.
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
	u32 min_queued;			/* with fewer QUEUED it is about to run dry */
	struct mem_cgroup *memcg;	/* of the process that set it up */
	struct ring_block block[];
};

/* Mappings whose flags are watched. With more of them the guard unmaps each block to be sure. */
#define MAX_WATCHED_MAPPINGS 8

struct ring_mappings {
	struct mutex lock;		/* see above; the next two, and what makes entries */
	struct address_space *file;	/* of the open file; NULL: it is closed */
	unsigned int copies;		/* copies that fork() and mremap() made */
	spinlock_t watch_lock;		/* the rest */
	unsigned int count;		/* mappings that exist */
	struct vm_area_struct *watched[MAX_WATCHED_MAPPINGS];	/* unused ones are NULL */
};

struct channel {
	struct device dev;
	struct cdev cdev;
	struct engine engine;		/* under mutex; used elsewhere only while running */
	struct mutex mutex;		/* see above */
	struct ring *ring;		/* changed under mutex and mappings.lock */
	bool is_open;			/* under mutex */
	struct ring_mappings mappings;
	struct delayed_work work;	/* the guard's looks, and feeding after a pause */
	struct list_head left;		/* under mutex; memory that left the ring, in use */
	bool left_limit_logged;		/* under mutex */

	struct kthread_worker *feed_thread;	/* PREEMPT_RT: feeds in place of tasks */
	struct kthread_work feed_work;	/* the same: its work */
	spinlock_t feed_lock;		/* the same: held by the context that feeds */
	struct task_struct *feeder;	/* current, in the context that feeds */
	wait_queue_head_t wait;		/* for a READY block, or an end */
	spinlock_t lock;		/* see above; all of the following */
	bool dead;			/* unbound; for ever */
	bool running;			/* between START and STOP */
	bool active;			/* the engine is fed; not while suspended */
	bool engine_stuck;		/* it could not be stopped; for ever */
	bool feeding;			/* a context is in dmacast_channel_feed(), */
	bool feed_again;		/* and has to look once more */
	struct list_head list[BLOCK_STATES];
	u32 count[BLOCK_STATES];
	u64 next_sequence;		/* of the next transfer that finishes */
	u64 read_sequence;		/* that the next record should have */
	u64 read_failures;		/* of the last record */
	u64 suspends;
	u64 read_suspends;		/* of the last record */
	u64 skipped;			/* lost blocks that no gap shows, */
	u32 skipped_flags;		/* and what their records would have said */
	u32 setups; /* calls of dmacast_channel_set_up(); changed under mutex, too */
	u32 failures_in_a_row;
	u64 left_bytes;			/* in the list `left`; changed under mutex, too */
	struct dmacast_stats stats;	/* the counters */
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

#endif
