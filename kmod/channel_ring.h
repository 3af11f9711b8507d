/* SPDX-License-Identifier: GPL-2.0-only */
/* The ring of a channel: its geometry and its memory. */
#ifndef DMACAST_CHANNEL_RING_H
#define DMACAST_CHANNEL_RING_H

struct channel;
struct dmacast_setup;

#define MIN_BLOCK_COUNT 2
#define MAX_BLOCK_COUNT 1048576U

/**
 * dmacast_channel_set_up() - make the ring, as DMACAST_IOC_SETUP says
 * @channel: the channel
 * @setup: in and out: the user's
 *
 * Context: May sleep; under mutex.
 * Return: 0 or a negative error number, whose reason is in the log.
 */
int dmacast_channel_set_up(struct channel *channel, struct dmacast_setup *setup);

/**
 * dmacast_channel_unmap_ring() - end DMA to the blocks of the ring, if there is one
 * @channel: the channel, which goes
 *
 * Blocks of an engine that cannot be stopped stay as they are.
 *
 * Context: May sleep; under mutex.
 */
void dmacast_channel_unmap_ring(struct channel *channel);

/**
 * dmacast_channel_free_ring() - free the ring, if there is one
 * @channel: the channel after dmacast_channel_unmap_ring(), which nobody uses
 *
 * What sockets refer to is left behind.
 *
 * Context: May sleep.
 */
void dmacast_channel_free_ring(struct channel *channel);

#endif
