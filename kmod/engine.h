/* SPDX-License-Identifier: GPL-2.0-only */
/* The DMA engine: one slave channel of a dmaengine provider, from the request on. */
#ifndef DMACAST_ENGINE_H
#define DMACAST_ENGINE_H

#include "memory.h"

#include <linux/dmaengine.h>

struct engine {
	struct dma_chan *chan;
	struct memory_limits limits;
	bool contiguous;	/* takes one segment only */
	bool knows_residue;	/* reports how much was transferred */
	bool asks_status;	/* outcome from tx_status() and not from callback_result */
	bool calls_in_thread;	/* a callback was seen that can be preempted, */
	bool calls_elsewhere;	/* and one that cannot be */
};

/**
 * dmacast_engine_open() - request and configure a DMA channel
 * @engine: out
 * @device: the device whose firmware node, or entry in the provider's slave map, names the channel
 *
 * Context: May sleep.
 * Return: 0; -EPROBE_DEFER when no provider has it yet; or another error, which was logged.
 */
int dmacast_engine_open(struct engine *engine, struct device *device);

/**
 * dmacast_engine_note_callback() - note the context of a callback; the first call of every callback
 * @engine: the engine that calls
 *
 * Context: Any.
 */
void dmacast_engine_note_callback(struct engine *engine);

/**
 * dmacast_engine_stop() - end all transfers
 * @engine: an engine that nobody feeds
 *
 * No callback runs when it has returned 0, and none comes later.
 *
 * Context: May sleep.
 * Return: 0; or the provider's error, and then transfers may go on.
 */
int dmacast_engine_stop(struct engine *engine);

/**
 * dmacast_engine_close() - give the channel back
 * @engine: an engine of which nothing is queued
 *
 * Context: May sleep.
 */
void dmacast_engine_close(struct engine *engine);

#endif
