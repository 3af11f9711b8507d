/* SPDX-License-Identifier: GPL-2.0-only */
/* The way of a block from FREE to the DMA engine, and from the engine's callback to READY. */
#ifndef DMACAST_CHANNEL_FEED_H
#define DMACAST_CHANNEL_FEED_H

#include <linux/sizes.h>

struct channel;

/* Largest block, in bytes: 16384 pages of 4 KiB, whose references are checked without a pause. */
#define MAX_BLOCK_SIZE SZ_64M

/**
 * dmacast_channel_feed() - submit FREE blocks to the engine, from one of its callbacks
 * @channel: a channel; nothing happens if it is not active
 *
 * Context: Any. A softirq does a limited part and leaves the rest to the channel's work item.
 */
void dmacast_channel_feed(struct channel *channel);

/**
 * dmacast_channel_feed_by_task() - submit FREE blocks to the engine, from a task
 * @channel: a channel; nothing happens if it is not active
 *
 * On PREEMPT_RT a thread of the channel does it, with the priority of threaded interrupts. A
 * low-priority task that is preempted with softirqs off would block the CPU's other softirqs, such
 * as the engine's tasklet, possibly between submitting transfers and issuing them.
 *
 * Context: May sleep.
 */
void dmacast_channel_feed_by_task(struct channel *channel);

/**
 * dmacast_channel_feed_wait() - wait for the work that dmacast_channel_feed_by_task() began
 * @channel: the channel
 *
 * Context: May sleep.
 */
void dmacast_channel_feed_wait(struct channel *channel);

/**
 * dmacast_channel_feed_init() - start the thread that feeds, on PREEMPT_RT
 * @channel: the channel
 * @name: the channel's name
 *
 * Context: May sleep.
 * Return: 0 or a negative error number.
 */
int dmacast_channel_feed_init(struct channel *channel, const char *name);

/**
 * dmacast_channel_feed_exit() - stop the thread that feeds, if there is one
 * @channel: a channel that nobody feeds
 *
 * Context: May sleep.
 */
void dmacast_channel_feed_exit(struct channel *channel);

#endif
