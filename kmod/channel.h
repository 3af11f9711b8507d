/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A channel: one device node, one DMA channel, one ring of blocks. uapi/dmacast.h has the states of
 * a block; here is who moves it:
 *
 *	FREE        feed() ─▶ QUEUED; in use: ─▶ QUARANTINE
 *	QUEUED      the transfer is done ─▶ READY; it failed, or is empty: ─▶ FREE
 *	READY       channel_lend() ─▶ LENT; overrun: ─▶ FREE
 *	LENT        channel_return() ─▶ FREE; close() ─▶ FREE, or QUARANTINE if in use
 *	QUARANTINE  guard_look() ─▶ FREE when unused, or with fresh pages
 *
 * Every block, from wherever it comes, passes one gate on its way to the engine: channel_feed()
 * looks whether anything still refers to its pages (the guard).
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
#ifndef DMACAST_CHANNEL_H
#define DMACAST_CHANNEL_H

#include "engine.h"
#include "mapping.h"
#include "memory.h"

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <uapi/dmacast.h>

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
	struct list_head entry;		/* of its state's list; empty: in someone's hand */
	enum block_state state;
	dma_cookie_t cookie;		/* of the transfer; 0: not known yet */
	bool finished_early;		/* completed before the cookie was known */
	bool failed;			/* of the transfer, as it was told */
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

struct channel {
	struct device dev;
	struct cdev cdev;
	struct engine engine;		/* under mutex; used elsewhere only while running */
	struct mutex mutex;		/* see above */
	struct ring *ring;		/* changed under mutex and mappings.lock */
	bool is_open;			/* under mutex */
	struct ring_mappings mappings;
	struct delayed_work guard_work;
	struct list_head left;		/* under mutex; memory that left the ring and is still used */
	bool left_limit_logged;		/* under mutex */

	spinlock_t feed_lock;		/* PREEMPT_RT: held by the context that feeds */
	struct task_struct *feeder;	/* current, in the context that feeds */
	wait_queue_head_t wait;		/* for a READY block, or an end */
	spinlock_t lock;		/* see above; all of the following */
	bool dead;			/* unbound; for ever */
	bool running;			/* between START and STOP */
	bool active;			/* the engine is fed; not while suspended */
	bool engine_stuck;		/* it could not be stopped; for ever */
	bool feeding;			/* a context is in channel_feed(), */
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
	u32 setups;			/* calls of channel_set_up(); changed under mutex, too */
	u32 failures_in_a_row;
	u64 left_bytes;			/* in the list `left`; changed under mutex, too */
	struct dmacast_stats stats;	/* the counters */
};

/* What guard_examine() finds out. */
enum guard_finding {
	GUARD_UNUSED,	/* only the ring and its mappings refer to the block's pages */
	GUARD_IN_USE,	/* something else does, too, or did a moment ago */
	GUARD_UNKNOWN,	/* pages are being mapped */
};

extern struct workqueue_struct *dmacast_workqueue;

extern const struct file_operations channel_fops;
extern const struct attribute_group *channel_groups[];

/**
 * channel_create() - make the device node of a channel
 * @parent: the device that asks for the DMA channel
 * @name: of the node in /dev/dmacast
 *
 * Context: may sleep. Return: a channel, or an ERR_PTR() that was logged, but for -EPROBE_DEFER.
 */
struct channel *channel_create(struct device *parent, const char *name);

/**
 * channel_remove() - the device goes: stop, wake everyone, end DMA. The channel lives on until its
 * file is closed. Context: may sleep.
 */
void channel_remove(struct channel *channel);

/** channel_set_up() - see DMACAST_IOC_SETUP. Context: may sleep; under mutex. */
int channel_set_up(struct channel *channel, struct dmacast_setup *setup);

/** channel_start() / channel_stop() - DMACAST_IOC_START, _STOP. May sleep; under mutex. */
int channel_start(struct channel *channel);
int channel_stop(struct channel *channel);

/**
 * channel_suspend() - stop the engine before the machine sleeps
 * @channel: the channel
 *
 * Its owner does not notice, but for a gap in what comes after channel_resume().
 *
 * Context: May sleep.
 * Return: 0, or -EIO when the engine cannot be stopped.
 */
int channel_suspend(struct channel *channel);

/** channel_resume() - undo channel_suspend(). May sleep. */
void channel_resume(struct channel *channel);

/**
 * channel_lend() - the oldest READY block becomes LENT, and its content is there for the CPU
 * @channel: the channel
 * @record: out: what to tell the owner
 *
 * Context: May sleep; under mutex.
 * Return: false if there is none.
 */
bool channel_lend(struct channel *channel, struct dmacast_block *record);

/**
 * channel_unlend() - undo channel_lend(): the owner did not get the record
 * @channel: the channel
 * @record: the record
 * @setups: the channel's number of set-ups when it was lent
 *
 * Of several records the last one comes first.
 *
 * Context: May sleep; under mutex.
 */
void channel_unlend(struct channel *channel, const struct dmacast_block *record, u32 setups);

/** channel_return() - the LENT block of this @index is back. Under mutex. Return: 0 or -EINVAL. */
int channel_return(struct channel *channel, u32 index);

/** channel_feed() - give the engine what is free; after channel_return(). Any context. */
void channel_feed(struct channel *channel);

/** channel_release() - the owner closed its file. Context: may sleep; under mutex. */
void channel_release(struct channel *channel);

/** channel_read_stats() - counters and states of one moment. Any context. */
void channel_read_stats(struct channel *channel, struct dmacast_stats *stats);

/** channel_describe() - see DMACAST_IOC_INFO. */
void channel_describe(struct channel *channel, struct dmacast_info *info);

/* ---- for guard.c and channel.c ---- */

/** block_set_state() - the one place where a state changes; to its list's end. Under lock. */
void block_set_state(struct ring_block *block, enum block_state state);

/** block_move() - the same outside of the lock, of a block in the caller's hand. Any context. */
void block_move(struct ring_block *block, enum block_state state);

/** guard_schedule() - let guard_work() run so many jiffies later, unless unbound. Under lock. */
void guard_schedule(struct channel *channel, unsigned long delay);

/** guard_examine() - look at the references to a block in the caller's hand. Any context. */
enum guard_finding guard_examine(struct ring_block *block);

/** guard_quarantine() - put a block in the caller's hand into quarantine. Any context. */
void guard_quarantine(struct ring_block *block);

/** guard_look() - see whether blocks in quarantine are unused now. May sleep; under mutex. */
void guard_look(struct channel *channel);

/** guard_leave() - free memory that left the ring, now or when it is unused. Under mutex. */
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

/** guard_work() - the same as guard_look(), soon and again until no block is left. */
void guard_work(struct work_struct *work);

#endif
