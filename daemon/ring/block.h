/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block: the unit of recycling. One block has one owner after the other:
 *
 *   FREE  ── ring_take() ──▶ source, which fills it
 *         ── window_push() ─▶ the window, as long as a cursor needs it   (in_window)
 *                             and everyone who pinned it                 (pins)
 *         ◀─ both gone ────── back to its ring
 *
 * A pin is held by each zero-copy send until its completion was read from the error queue, and by
 * a client that skips ahead but has sent a part of the block. No byte of a block and of its header
 * changes while it is in the window or pinned.
 *
 * A copy of the rest of a block has no ring and one pin, that of a client which skips ahead where no more
 * blocks may be pinned. The last block_unpin() frees it.
 */
#ifndef DMACAST_BLOCK_H
#define DMACAST_BLOCK_H

#include "lib/frame.h"

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

struct ring;

struct block {
	unsigned char *data;
	unsigned char *header; /* frame header for framed clients, one for all; see lib/frame.h */
	uint32_t length;       /* bytes that are filled */
	uint32_t index;	       /* in the ring */
	uint64_t sequence;
	uint64_t position;     /* bytes of the stream before this block */
	uint64_t monotonic_ns; /* when it was handed on */
	uint64_t captured_ns;  /* monotonic time of the first byte; of a device: when it was full */
	uint64_t realtime_ns;  /* the same moment, CLOCK_REALTIME */
	struct block *next;    /* in the window: the block of the next sequence, if any */
	TAILQ_ENTRY(block) free_entry;
	bool is_listed;	   /* in the ring's list of free blocks */
	bool is_taken;	   /* not free */
	bool is_unclaimed; /* restored as taken, and without an owner until now; see ring_claim() */
	struct ring *ring; /* NULL: this is a copy, see block_copy_rest() */
	uint32_t pins;
	bool in_window;
};

/** block_age() - return the nanoseconds since the block was handed on. @now_ns: monotonic */
static inline uint64_t block_age(const struct block *block, uint64_t now_ns)
{
	return now_ns > block->monotonic_ns ? now_ns - block->monotonic_ns : 0;
}

/** block_capture_age() - return the nanoseconds since the capture of the block. @now_ns: monotonic */
static inline uint64_t block_capture_age(const struct block *block, uint64_t now_ns)
{
	return now_ns > block->captured_ns ? now_ns - block->captured_ns : 0;
}

/** block_header_bytes() - return the bytes of the header that a framed client gets, or a raw one. */
static inline uint32_t block_header_bytes(const struct block *block, bool framed)
{
	return framed && block->header ? FRAME_HEADER_BYTES : 0;
}

/** block_pin() - hold the content of a block that is in the window or pinned already. */
void block_pin(struct block *block);

/** block_unpin() - undo one block_pin(); recycles the block when nobody else needs it. */
void block_unpin(struct block *block);

/**
 * block_copy_rest() - copy what follows the first @offset bytes of a block in the window or with pins. The
 * copy has a header only if @offset is 0.
 *
 * Return: a block with one pin, with the sequence and the times of the original; NULL without memory.
 */
struct block *block_copy_rest(const struct block *block, uint32_t offset);

/**
 * block_make_copy() - make such a copy.
 * @numbers: its length, at least 1, sequence, position and times
 * @header: NULL: none
 *
 * Return: as block_copy_rest().
 */
struct block *block_make_copy(const struct block *numbers, const unsigned char *header,
			      const unsigned char *data);

/** block_is_copy() - return true for what block_copy_rest() returned: it may be sent by copying only. */
static inline bool block_is_copy(const struct block *block)
{
	return !block->ring;
}

/** block_may_restore() - return true if a restored block, see ring_restore(), is not free and not with ring_claim(). */
static inline bool block_may_restore(const struct block *block)
{
	return block->is_unclaimed || block->in_window || block->pins;
}

/**
 * block_restore_pin() / block_restore_in_window() - let such a block have a pin, or the window's hold, which it has not
 * yet, as it had before. In any order.
 */
void block_restore_pin(struct block *block);
void block_restore_in_window(struct block *block);

/** block_enter_window() / block_leave_window() - the window's own hold; the latter may recycle. */
void block_enter_window(struct block *block);
void block_leave_window(struct block *block);

#endif
