/* SPDX-License-Identifier: GPL-2.0-only */
/* Feeding the DMA engine with free blocks, and what its callbacks do. */
#ifndef DMACAST_CHANNEL_FEED_H
#define DMACAST_CHANNEL_FEED_H

#include <linux/sizes.h>

struct channel;

/* Bytes of the largest block: of 4 KiB, 16384 pages, whose references are looked at in one go. */
#define MAX_BLOCK_SIZE SZ_64M

/**
 * dmacast_channel_feed() - give the engine what is free, from a callback of the engine
 * @channel: a channel; nothing happens if it is not active
 *
 * Context: Any. A softirq leaves a part of much work to the channel's work item.
 */
void dmacast_channel_feed(struct channel *channel);

/**
 * dmacast_channel_feed_by_task() - the same, from a task
 * @channel: a channel; nothing happens if it is not active
 *
 * On PREEMPT_RT a thread of the channel does it, whose priority is that of threaded interrupts: a
 * task of low priority that is preempted with softirqs off keeps the processor's other softirqs,
 * as the engine's tasklet, from running, and may have submitted what it did not issue.
 *
 * Context: May sleep.
 */
void dmacast_channel_feed_by_task(struct channel *channel);

/**
 * dmacast_channel_feed_wait() - wait until what dmacast_channel_feed_by_task() began is done
 * @channel: the channel
 *
 * Context: May sleep.
 */
void dmacast_channel_feed_wait(struct channel *channel);

/**
 * dmacast_channel_feed_init() - make the thread that feeds, where there is one
 * @channel: the channel
 * @name: the channel's name
 *
 * Context: May sleep.
 * Return: 0 or a negative error number.
 */
int dmacast_channel_feed_init(struct channel *channel, const char *name);

/**
 * dmacast_channel_feed_exit() - end the thread that feeds, if there is one
 * @channel: a channel that nobody feeds
 *
 * Context: May sleep.
 */
void dmacast_channel_feed_exit(struct channel *channel);

#endif
