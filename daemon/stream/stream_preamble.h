/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The preamble of a stream: the content of a file, or the first bytes of each run of the source, for clients that
 * did not get these bytes with the blocks.
 *
 *   stream_preamble_begin_run() ─▶ PENDING ─ first block of the run ─▶ the file is read again, or the bytes of
 *                                                                      the run are kept, up to `preamble`
 *
 * A client that joins while a run is pending begins with the first byte of that run. One that joins while only a
 * part of the bytes is kept gets that part, and the rest of them with its first blocks: blocks do not wait.
 */
#ifndef DMACAST_STREAM_PREAMBLE_H
#define DMACAST_STREAM_PREAMBLE_H

#include "lib/settings.h"
#include "lib/shared_bytes.h"
#include "ring/block.h"

#include <stdbool.h>
#include <stddef.h>

struct state;

struct stream_preamble {
	const struct stream_settings *settings;
	bool pending;	       /* no byte of the run has come */
	unsigned char *head;   /* first bytes of the run; NULL without `preamble` in bytes */
	size_t kept;	       /* of them */
	uint64_t run_position; /* bytes of the stream before the last run that has begun */
	uint64_t end_position; /* and up to the end of the last block */
	struct shared_bytes
		*shared; /* content of the file, or copy of the head for clients; NULL: none */
};

/**
 * stream_preamble_init() - begin, with a run that is pending, without reading a file.
 * @settings: must outlive @preamble
 *
 * Return: false without memory.
 */
bool stream_preamble_init(struct stream_preamble *preamble, const struct stream_settings *settings);

/** stream_preamble_read() - read the file, if there is one. Return: false after an error, which was logged. */
bool stream_preamble_read(struct stream_preamble *preamble);

/** stream_preamble_inherit() - use the file as @former has read it. */
void stream_preamble_inherit(struct stream_preamble *preamble,
			     const struct stream_preamble *former);

/** stream_preamble_set() - use the preamble that an origin has sent; @length 0: none. Without memory there is none. */
void stream_preamble_set(struct stream_preamble *preamble, const void *bytes, size_t length);

/** stream_preamble_begin_run() - note that the next block is the first one of a run. May be repeated. */
void stream_preamble_begin_run(struct stream_preamble *preamble);

/**
 * stream_preamble_add() - note a block that enters the window next. A file that cannot be read again is logged, and
 * stays as it was.
 * @position: of the block
 */
void stream_preamble_add(struct stream_preamble *preamble, const struct block *block,
			 uint64_t position);

/**
 * stream_preamble_run_position() - return the position of the first byte whose preamble is known: that of the last
 * run, or 0 unless `preamble` is in bytes.
 */
uint64_t stream_preamble_run_position(const struct stream_preamble *preamble);

/** stream_preamble_is_late() - return true if a client that joins now gets the file only with its first block. */
static inline bool stream_preamble_is_late(const struct stream_preamble *preamble)
{
	return preamble->settings->preamble.path && preamble->pending;
}

/**
 * stream_preamble_get() - return what a client gets before its first block.
 * @position: of that block; it may be the one that enters the window next
 * @bytes: out: for the caller to keep; NULL: nothing
 *
 * Return: false without memory.
 */
bool stream_preamble_get(struct stream_preamble *preamble, uint64_t position,
			 struct shared_bytes **bytes);

/**
 * stream_preamble_transfer() - save or restore the object "preamble"; see state.h.
 * @preamble: restoring: as stream_preamble_init() made it
 */
void stream_preamble_transfer(struct stream_preamble *preamble, struct state *state);

/** stream_preamble_free() - free what is kept. */
void stream_preamble_free(struct stream_preamble *preamble);

#endif
