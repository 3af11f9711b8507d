/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part that all sources share that fill blocks themselves: the block that is being filled, handing
 * it on when it is full or `flush` after its first byte, and waiting when the ring has no free block.
 *
 * With `record-size` or `record-end`, a block is handed on up to the end of its last whole record, and the
 * next one begins with the rest. A record that does not fit a block is handed on in parts.
 */
#ifndef DMACAST_FILLER_H
#define DMACAST_FILLER_H

#include "source/source.h"

#include <sys/uio.h>

struct filler;
struct state;

/* Number of blocks that can be filled at once: with 64 KiB each, all that a pipe of an unprivileged
 * process may hold. */
#define FILLER_BLOCKS 16

/**
 * filler_create() - create the filler of one source.
 * @callbacks: must outlive the filler
 * @settings: must outlive the filler
 * @resume: called, from the event loop, when blocks are free after filler_space() found none
 *
 * Return: NULL without memory.
 */
struct filler *filler_create(struct event_base *base, const struct stream_settings *settings,
			     struct ring *ring, const struct source_callbacks *callbacks,
			     void *argument, void (*resume)(void *resume_argument),
			     void *resume_argument);

/** filler_adapt() - apply changed settings. */
void filler_adapt(struct filler *filler);

/**
 * filler_space() - return where to write the next bytes.
 * @space: out: number of bytes that fit, at least 1
 *
 * Return: NULL when the ring has no free block: wait for resume().
 */
unsigned char *filler_space(struct filler *filler, size_t *space);

/**
 * filler_spaces() - return the same for several blocks, as readv() takes it. filler_ready() gives blocks
 * back that stay empty.
 * @space: out: FILLER_BLOCKS at most
 * @bytes: number of bytes wanted, at least 1; out: number of bytes that fit
 *
 * Return: number of spaces; 0 when the ring has no free block: wait for resume().
 */
int filler_spaces(struct filler *filler, struct iovec *space, size_t *bytes);

/** filler_place() - return the offset in the ring's memory of the block of filler_space(), in bytes. */
uint64_t filler_place(const struct filler *filler);

/** filler_commit() - add @bytes that were written to filler_space() or, in order, filler_spaces(). */
void filler_commit(struct filler *filler, size_t bytes);

/** filler_flush() - hand on a part-filled block now, with records: as far as they are whole. */
void filler_flush(struct filler *filler);

/** filler_end() - hand on everything, also a record without its end: nothing follows. */
void filler_end(struct filler *filler);

/**
 * filler_begin_run() - drop what is left of a record, because the next bytes do not continue it. Without
 * records they follow the others, with no boundary between them.
 */
void filler_begin_run(struct filler *filler);

/** filler_block_bytes() - return how many bytes a full block has: with `record-size`, whole records. */
size_t filler_block_bytes(const struct filler *filler);

/** filler_start() - undo filler_pause(). */
void filler_start(struct filler *filler);

/**
 * filler_pause() - hand on what is there, with records: as far as they are whole, call ready(), and do not resume until
 * filler_start().
 *
 * Return: number of bytes that were dropped because they are no whole record.
 */
size_t filler_pause(struct filler *filler);

/** filler_stop() - hand on what is there, call ready(), and do not resume any more. */
void filler_stop(struct filler *filler);

/** filler_ready() - call ready() if blocks were handed on since the last call. */
void filler_ready(struct filler *filler);

/** filler_budget() - return how many bytes are worth filling in before filler_ready(); 0: none in this turn. */
size_t filler_budget(const struct filler *filler);

/**
 * filler_transfer() - save the filler as the object "filler", or restore it, just created, on a restored ring, whose
 * unfinished blocks become the filler's. resume() follows if no block was free.
 */
void filler_transfer(struct filler *filler, struct state *state);

/** filler_destroy() - return an unfinished block to the ring, and free the filler. */
void filler_destroy(struct filler *filler);

#endif
