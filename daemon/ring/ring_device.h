/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel ring: the blocks of a node of dmacast.ko, which a DMA engine fills. Each block is either
 * with the kernel, which makes it free here, or lent to the daemon:
 *
 *   the kernel's ── ring_device_read() ─▶ lent ── ring_put() ─▶ returned ── write() ─▶ the kernel's
 *
 * Returned blocks are collected, and written once in a turn of the event loop, or when there are
 * many. ring_take() finds none here.
 *
 * The mapping and the descriptor stay as long as the ring, whatever becomes of the device: blocks
 * that are still being sent stay what they are.
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
 * @wrong: out: when there is no ring, why, for people
 *
 * Return: the ring, with every block the kernel's and the engine not running; or NULL.
 */
struct ring *ring_device_open(struct event_base *base, const struct stream_settings *settings,
			      char wrong[RING_DEVICE_WRONG]);

/** ring_device_fd() - what gets readable when there is a block, or the device is gone. */
int ring_device_fd(const struct ring *ring);

/** ring_device_start() - let the engine fill blocks. Return: false with errno set. */
bool ring_device_start(struct ring *ring);

/** ring_device_stop() - let it not; blocks that are filled can still be read. */
void ring_device_stop(struct ring *ring);

/* What the kernel says about a block besides what is in the block. */
struct ring_device_block {
	struct block *block;
	uint64_t lost;	    /* blocks, between the one before and this one */
	bool after_error;   /* some of these because their transfer failed */
	bool after_suspend; /* one of these, and more, because the machine was suspended */
	bool is_short;	    /* its own transfer ended early */
};

/**
 * ring_device_read() - borrow filled blocks, in order: now the caller's.
 *
 * Return: how many; may be 0. -1 with errno set: EAGAIN, none now; ENODATA, none any more, for it is
 * stopped; ENODEV, the device is gone; others.
 */
int ring_device_read(struct ring *ring, struct ring_device_block *blocks, uint32_t most);

#endif
