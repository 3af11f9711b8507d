/* SPDX-License-Identifier: GPL-2.0-only */
/* Set-up of a channel's ring: its geometry and its memory. */
#ifndef DMACAST_CHANNEL_RING_H
#define DMACAST_CHANNEL_RING_H

struct channel;
struct dmacast_setup;

#define MIN_BLOCK_COUNT 2
#define MAX_BLOCK_COUNT 1048576U

/**
 * dmacast_channel_set_up() - make, keep or free the ring (DMACAST_IOC_SETUP)
 * @channel: the channel
 * @setup: in: the user's request; out: also the size and stride of the mapping
 *
 * Context: May sleep; under mutex.
 * Return: 0 or a negative error number, whose reason is logged.
 */
int dmacast_channel_set_up(struct channel *channel, struct dmacast_setup *setup);

/**
 * dmacast_channel_unmap_ring() - end DMA to the blocks of the ring, if there is one
 * @channel: the channel, which is being removed
 *
 * QUEUED blocks, of an engine that cannot be stopped, stay mapped.
 *
 * Context: May sleep; under mutex.
 */
void dmacast_channel_unmap_ring(struct channel *channel);

/**
 * dmacast_channel_free_ring() - free the ring, if there is one
 * @channel: an unused channel, after dmacast_channel_unmap_ring()
 *
 * Pages to which sockets still refer are left behind.
 *
 * Context: May sleep.
 */
void dmacast_channel_free_ring(struct channel *channel);

#endif
