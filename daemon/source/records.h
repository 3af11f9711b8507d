/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where records end in the block that is being filled. Records have the same size, or each ends with the
 * same bytes. With `preamble` in bytes, records of the same size begin behind the head of each run, which a block
 * may divide anywhere. A block begins with a record, unless the one before it ended within a record that is larger
 * than a block.
 */
#ifndef DMACAST_RECORDS_H
#define DMACAST_RECORDS_H

#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state;

struct records {
	size_t size; /* bytes of each record; 0: `end` is set */
	size_t head; /* bytes at the begin of each run, before the first record of `size` */
	struct record_end end; /* bytes at the end of each record */
	/* In the block that is being filled, in bytes from its start: */
	size_t searched; /* where the next search begins, less what may be the begin of `end` */
	size_t boundary; /* behind the last whole record that was found; 0: none */
	size_t grid; /* end of the head; multiples of `size` count from here; 0: no head is in the block */
	/* Last bytes of the block before, which ended within a record: `end` may have begun there. */
	unsigned char tail[MAX_RECORD_END - 1];
	size_t tail_length;
};

/** records_init() - begin with an empty block, at the begin of a record. One of both options is set. */
void records_init(struct records *records, const struct stream_settings *settings);

/**
 * records_boundary() - return the offset behind the last whole record in a block; 0: there is none.
 * @data, @length: the block as far as it is filled; only what was added since the last call is searched
 */
size_t records_boundary(struct records *records, const unsigned char *data, size_t length);

/**
 * records_moved() - note that whole records were handed on.
 * @boundary: bytes that were handed on
 * @rest: bytes behind the last boundary, with which the next block begins; they were searched
 */
void records_moved(struct records *records, size_t boundary, size_t rest);

/** records_split() - note that a block was handed on which ends within a record. */
void records_split(struct records *records, const unsigned char *data, size_t length);

/** records_begin() - note that a run begins at @offset of the block, whatever is in front of it. */
void records_begin(struct records *records, size_t offset);

/** records_transfer() - save or restore what records_init() does not set. @length: bytes in the block; see state.h */
void records_transfer(struct records *records, struct state *state, size_t length);

#endif
