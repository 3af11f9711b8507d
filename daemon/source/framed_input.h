/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frames of an origin become the blocks of a relay: a parser without input or output of its own. The payload of a
 * block is read right into a block of the ring. What the relay has already is dropped, and what is missing is counted,
 * within a connection and from one connection to the next.
 *
 * Metadata and a preamble are handed on at once if they belong to the epoch of the last block, else before the first
 * block of theirs.
 */
#ifndef DMACAST_FRAMED_INPUT_H
#define DMACAST_FRAMED_INPUT_H

#include "lib/continuity.h"
#include "lib/frame_reader.h"
#include "source/source.h"

#include <sys/uio.h>

#define FRAMED_INPUT_ERROR 512

/* The payload of a block, and the header after it. */
#define FRAMED_INPUT_SPACES 2

struct framed_input;

enum framed_input_result {
	FRAMED_INPUT_MORE,
	FRAMED_INPUT_ENDED, /* the frame with END was there */
	FRAMED_INPUT_BAD,   /* the connection must be dropped; framed_input_error() says why */
};

/**
 * framed_input_create() - begin without a connection.
 * @settings, @callbacks: must outlive the input
 *
 * Return: NULL without memory.
 */
struct framed_input *framed_input_create(const struct stream_settings *settings, struct ring *ring,
					 const struct source_callbacks *callbacks, void *argument);

/** framed_input_begin() - note that a connection begins. */
void framed_input_begin(struct framed_input *input, enum continuity_link link);

/** framed_input_cut() - note that it has ended: a frame that is not complete is dropped. */
void framed_input_cut(struct framed_input *input);

/** framed_input_last() - return true if there is a last block, and its name. */
bool framed_input_last(const struct framed_input *input, uint32_t *epoch, uint64_t *sequence);

/**
 * framed_input_spaces() - return where to read the next bytes to.
 * @bytes: out: their number
 *
 * Return: number of spaces; 0 when the ring has no free block, which starved() was told.
 */
int framed_input_spaces(struct framed_input *input, struct iovec space[FRAMED_INPUT_SPACES],
			size_t *bytes);

/** framed_input_commit() - note that @bytes were written there, and hand on what is complete. */
enum framed_input_result framed_input_commit(struct framed_input *input, size_t bytes);

/** framed_input_ready() - call ready() if blocks were handed on since the last call. */
void framed_input_ready(struct framed_input *input);

/** framed_input_gained() - return true if a block of this connection was handed on. */
bool framed_input_gained(const struct framed_input *input);

/** framed_input_error() - return the reason of FRAMED_INPUT_BAD. */
const char *framed_input_error(const struct framed_input *input);

/** framed_input_transfer() - save or restore the object "framed", on a restored ring; see state.h. */
void framed_input_transfer(struct framed_input *input, struct state *state);

/** framed_input_free() - return an unfinished block to the ring, and free the input. */
void framed_input_free(struct framed_input *input);

#endif
