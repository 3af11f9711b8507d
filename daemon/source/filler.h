/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every source that fills blocks itself shares: the block that is being filled, handing it on
 * when it is full or `flush` after its first byte, and waiting when the ring has no free block.
 */
#ifndef DMACAST_FILLER_H
#define DMACAST_FILLER_H

#include "source/source.h"

#include <sys/uio.h>

struct filler;

/* So many blocks can be filled at once: of 64 KiB, all that a pipe of an unprivileged process may hold. */
#define FILLER_BLOCKS 16

/**
 * filler_create() - for one source.
 * @settings: must outlive the filler
 * @resume: called, from the event loop, when blocks are free after filler_space() found none
 *
 * Return: NULL without memory.
 */
struct filler *filler_create(struct event_base *base, const struct stream_settings *settings,
			     struct ring *ring, const struct source_callbacks *callbacks,
			     void *argument, void (*resume)(void *resume_argument),
			     void *resume_argument);

/** filler_adapt() - the settings have changed: have regard to them from now on. */
void filler_adapt(struct filler *filler);

/**
 * filler_space() - where the next bytes go.
 * @space: out: how many fit, at least 1
 *
 * Return: NULL when the ring has no free block: wait for resume().
 */
unsigned char *filler_space(struct filler *filler, size_t *space);

/**
 * filler_spaces() - the same for several blocks, as readv() takes it. Blocks that stay empty are given back by
 * filler_ready().
 * @space: out: FILLER_BLOCKS at most
 * @bytes: at most so many, at least 1; out: how many there are
 *
 * Return: how many spaces; 0 when the ring has no free block: wait for resume().
 */
int filler_spaces(struct filler *filler, struct iovec *space, size_t *bytes);

/** filler_place() - where in the ring's memory the block is that filler_space() is about, in bytes. */
uint64_t filler_place(const struct filler *filler);

/** filler_commit() - so many bytes were written where filler_space() or filler_spaces() said, in that order. */
void filler_commit(struct filler *filler, size_t bytes);

/** filler_flush() - hand on a part-filled block now. */
void filler_flush(struct filler *filler);

/** filler_stop() - hand on what is there, tell the owner, and resume no more. */
void filler_stop(struct filler *filler);

/** filler_ready() - the turn is over: tell the owner once that blocks were handed on, if there were any. */
void filler_ready(struct filler *filler);

/** filler_budget() - bytes that are worth filling in before filler_ready(), if there are so many at once. */
size_t filler_budget(const struct filler *filler);

/** filler_destroy() - an unfinished block goes back to the ring. */
void filler_destroy(struct filler *filler);

#endif
