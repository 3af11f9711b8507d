/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A channel: one device node, one DMA channel, one ring of blocks.
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

#include "block.h"
#include "engine.h"
#include "mapping.h"
#include "memory.h"

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <uapi/dmacast.h>

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

extern const struct file_operations dmacast_channel_fops;
extern const struct attribute_group *dmacast_channel_groups[];

/**
 * dmacast_channel_create() - make the device node of a channel
 * @parent: the device that asks for the DMA channel
 * @name: of the node in /dev/dmacast
 *
 * Context: May sleep.
 * Return: a channel, or an ERR_PTR() that was logged, but for -EPROBE_DEFER.
 */
struct channel *dmacast_channel_create(struct device *parent, const char *name);

/**
 * dmacast_channel_remove() - stop, wake everyone and end DMA, because the device goes
 * @channel: the channel, which lives on until its file is closed
 *
 * Context: May sleep.
 */
void dmacast_channel_remove(struct channel *channel);

/**
 * dmacast_channel_start() - let the engine fill blocks, as DMACAST_IOC_START says
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 * Return: 0 or a negative error number.
 */
int dmacast_channel_start(struct channel *channel);

/**
 * dmacast_channel_stop() - stop the engine, as DMACAST_IOC_STOP says
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 * Return: 0 or a negative error number.
 */
int dmacast_channel_stop(struct channel *channel);

/**
 * dmacast_channel_suspend() - stop the engine before the machine sleeps
 * @channel: the channel
 *
 * Its owner does not notice, but for a gap in what comes after dmacast_channel_resume().
 *
 * Context: May sleep.
 * Return: 0, or -EIO when the engine cannot be stopped.
 */
int dmacast_channel_suspend(struct channel *channel);

/**
 * dmacast_channel_resume() - undo dmacast_channel_suspend()
 * @channel: the channel
 *
 * Context: May sleep.
 */
void dmacast_channel_resume(struct channel *channel);

/**
 * dmacast_channel_lend() - lend the oldest READY block, whose content is there for the CPU
 * @channel: the channel
 * @record: out: the record of the block
 *
 * Context: May sleep; under mutex.
 * Return: false if there is none.
 */
bool dmacast_channel_lend(struct channel *channel, struct dmacast_block *record);

/**
 * dmacast_channel_unlend() - undo dmacast_channel_lend(), because the owner did not get the record
 * @channel: the channel
 * @record: the record
 * @setups: the channel's number of set-ups when the block was lent
 *
 * Of several records the last one comes first.
 *
 * Context: May sleep; under mutex.
 */
void dmacast_channel_unlend(struct channel *channel, const struct dmacast_block *record,
			    u32 setups);

/**
 * dmacast_channel_return() - take back a LENT block
 * @channel: the channel
 * @index: the user's index of the block
 *
 * Context: May sleep; under mutex.
 * Return: 0 or -EINVAL.
 */
int dmacast_channel_return(struct channel *channel, u32 index);

/**
 * dmacast_channel_release() - take everything back, because the owner closed its file
 * @channel: the channel
 *
 * Context: May sleep; under mutex.
 */
void dmacast_channel_release(struct channel *channel);

/**
 * dmacast_channel_read_stats() - read counters and states of one moment
 * @channel: the channel
 * @stats: out
 *
 * Context: May sleep.
 */
void dmacast_channel_read_stats(struct channel *channel, struct dmacast_stats *stats);

/**
 * dmacast_channel_describe() - say what the channel can do, as DMACAST_IOC_INFO does
 * @channel: the channel
 * @info: out
 *
 * Context: Any.
 */
void dmacast_channel_describe(struct channel *channel, struct dmacast_info *info);

#endif
