/* SPDX-License-Identifier: GPL-2.0-only */
/* The DMA engine: one slave channel of a dmaengine provider. */
#ifndef DMACAST_ENGINE_H
#define DMACAST_ENGINE_H

#include "memory.h"

#include <linux/dmaengine.h>

struct engine {
	struct dma_chan *chan;
	struct memory_limits limits;
	bool contiguous;	/* takes one segment per transfer */
	bool knows_residue;	/* reports how much was transferred */
	bool asks_status;	/* outcome comes from tx_status(), not from callback_result */
	bool calls_in_thread;	/* a preemptible callback was seen */
	bool calls_elsewhere;	/* a callback that cannot be preempted was seen */
};

/**
 * dmacast_engine_open() - request and configure a DMA channel
 * @engine: out
 * @device: the device whose firmware node, or entry in the provider's slave map, names the channel
 *
 * Context: May sleep.
 * Return: 0; -EPROBE_DEFER if no provider has it yet; or another error, which is logged.
 */
int dmacast_engine_open(struct engine *engine, struct device *device);

/**
 * dmacast_engine_note_callback() - note the context of a callback, at its beginning
 * @engine: the engine that calls back
 *
 * Context: Any.
 */
void dmacast_engine_note_callback(struct engine *engine);

/**
 * dmacast_engine_stop() - end all transfers
 * @engine: an engine that is not being fed
 *
 * After it has returned 0, no callback runs or comes later.
 *
 * Context: May sleep.
 * Return: 0; or the provider's error, after which transfers may continue.
 */
int dmacast_engine_stop(struct engine *engine);

/**
 * dmacast_engine_close() - release the DMA channel
 * @engine: an engine without queued transfers
 *
 * Context: May sleep.
 */
void dmacast_engine_close(struct engine *engine);

#endif
