/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel ring: the blocks of a node of dmacast.ko, which a DMA engine fills. Each block is either
 * with the kernel, which makes it free here, or lent to the daemon:
 *
 *   the kernel's ── ring_device_read() ─▶ lent ── ring_put() ─▶ returned ── write() ─▶ the kernel's
 *
 * Returned blocks are collected, and written once a turn of the event loop, or when there are many.
 * ring_take() finds no block in such a ring.
 *
 * The mapping and the descriptor exist as long as the ring, even if the device is gone: blocks that
 * are still being sent do not change.
 */
#ifndef DMACAST_RING_DEVICE_H
#define DMACAST_RING_DEVICE_H

#include "lib/settings.h"
#include "ring/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_DEVICE_WRONG 256

struct event_base;

/**
 * ring_device_open() - open the device of @settings, and set up its ring.
 * @settings: must outlive the ring
 * @wrong: out: if NULL is returned, why
 *
 * Return: the ring, with the engine stopped and every block with the kernel; or NULL, which is not logged.
 */
struct ring *ring_device_open(struct event_base *base, const struct stream_settings *settings,
			      char wrong[RING_DEVICE_WRONG]);

struct state;
struct ring_restored;

/** ring_device_restore() - map the open device that a predecessor saved; see ring_restore(). */
struct ring *ring_device_restore(struct event_base *base, const struct stream_settings *settings,
				 struct state *state, const struct ring_restored *restored);

/** ring_device_fd() - return the descriptor that becomes readable when a block is filled or the device is gone. */
int ring_device_fd(const struct ring *ring);

/** ring_device_start() - let the engine fill blocks. Return: false with errno set. */
bool ring_device_start(struct ring *ring);

/** ring_device_stop() - stop the engine; filled blocks can still be read. */
void ring_device_stop(struct ring *ring);

/* A filled block, and what else the kernel reports about it. */
struct ring_device_block {
	struct block *block;
	uint64_t lost;	    /* number of blocks lost before this one */
	bool after_error;   /* some were lost because their transfer failed */
	bool after_suspend; /* one or more were lost because the machine was suspended */
	bool is_short;	    /* the transfer of this block ended early */
};

/**
 * ring_device_read() - borrow filled blocks, in order; the caller owns them.
 *
 * Return: their number, which may be 0; -1 with errno set: EAGAIN, none now; ENODATA, none any more
 * since the engine is stopped; ENODEV, the device is gone; others.
 */
int ring_device_read(struct ring *ring, struct ring_device_block *blocks, uint32_t most);

#endif
