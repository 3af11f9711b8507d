/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring in memory of the daemon, with huge pages where possible. */
#ifndef DMACAST_RING_MEMORY_H
#define DMACAST_RING_MEMORY_H

#include "lib/settings.h"
#include "ring/ring.h"

struct event_base;
struct ring_maker;

/* Time in nanoseconds that making or giving back a ring takes from one iteration of the event loop. */
#define RING_SLICE_NS 2000000U

/* RING_WAITING: another process works for the ring; the next step may be a few milliseconds later. */
enum ring_progress { RING_MORE, RING_WAITING, RING_READY, RING_FAILED };

/**
 * ring_maker_start() - begin to make a ring, whose pages are all allocated, and zero.
 * @base: gives back the memory of a large ring in slices, when the ring is destroyed; NULL: at once
 * @name: of the stream, for the log
 * @block_size: bytes, a multiple of the page size
 * @blocks: number of blocks
 *
 * Return: NULL without memory, which was logged.
 */
struct ring_maker *ring_maker_start(struct event_base *base, const char *name, size_t block_size,
				    uint32_t blocks, enum huge_pages huge_pages);

/**
 * ring_maker_step() - allocate one huge page, or as many small ones as take less than a millisecond.
 *
 * Return: RING_FAILED after an error, which was logged.
 */
enum ring_progress ring_maker_step(struct ring_maker *maker);

/** ring_maker_take() - return the ring after RING_READY, and free the maker. */
struct ring *ring_maker_take(struct ring_maker *maker);

/** ring_maker_cancel() - free what was made so far, and the maker. */
void ring_maker_cancel(struct ring_maker *maker);

/**
 * ring_memory_create() - make a ring without an event loop; see ring_maker_start().
 *
 * Return: NULL after an error, which was logged with @name.
 */
struct ring *ring_memory_create(const char *name, size_t block_size, uint32_t blocks,
				enum huge_pages huge_pages);

struct state;
struct ring_restored;

/** ring_memory_restore() - map the memory that a predecessor saved; see ring_restore(). */
struct ring *ring_memory_restore(struct event_base *base, struct state *state,
				 const struct ring_restored *restored);

/**
 * ring_memory_forget() - stop giving back memory of @base, which is freed next. The memory stays until the
 * process ends.
 */
void ring_memory_forget(const struct event_base *base);

#endif
