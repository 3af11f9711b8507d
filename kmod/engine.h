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
};

/**
 * engine_open() - request and configure the channel that @device's firmware node, or the provider's
 * slave map, names
 *
 * Context: may sleep.
 * Return: 0; -EPROBE_DEFER when no provider has it yet; or another error, which was logged.
 */
int engine_open(struct engine *engine, struct device *device);

/** engine_close() - give the channel back. Nothing may be queued. Context: may sleep. */
void engine_close(struct engine *engine);

#endif
