/* SPDX-License-Identifier: GPL-2.0-only */
/* Feeding the DMA engine with free blocks, and what its callbacks do. */
#ifndef DMACAST_CHANNEL_FEED_H
#define DMACAST_CHANNEL_FEED_H

#include <linux/sizes.h>

struct channel;

/* Bytes of the largest block: of 4 KiB, 16384 pages, whose references are looked at in one go. */
#define MAX_BLOCK_SIZE SZ_64M

/**
 * channel_feed() - give the engine what is free
 * @channel: a channel; nothing happens if it is not active
 *
 * Context: Any. A softirq leaves a part of much work to the channel's work item.
 */
void channel_feed(struct channel *channel);

#endif
