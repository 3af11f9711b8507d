/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records of the zero-copy sends of one socket, with the blocks that each of them still needs.
 *
 * The kernel numbers the successful zero-copy sends of a socket from 0, modulo 2^32, and reports
 * inclusive ranges of numbers as complete: each number once, several at a time, in any order. Each send
 * has a record, which pins every block that the send read from until its number is reported. A reported
 * number that is not outstanding changes nothing; it is counted, because it shows a bug in the
 * accounting of the kernel or of the daemon.
 *
 *   oldest                     next
 *     │ 17 │ 18 ✓ │ 19 │ 20 ✓ │         18 and 20 are complete, 17 and 19 are outstanding;
 *     └── outstanding: 17, 19 ┘         a record is freed when it and all older ones are complete
 */
#ifndef DMACAST_COMPLETION_H
#define DMACAST_COMPLETION_H

#include "lib/histogram.h"
#include "ring/block.h"

#include <stdbool.h>
#include <stdint.h>

struct ring;
struct state;

struct send_record {
	struct block
		*first; /* first pinned block, linked to the others by `next`; NULL: complete */
	uint32_t blocks;
	uint32_t whole_blocks; /* blocks, from the first one on, whose last byte is in this send */
};

struct completions {
	struct send_record *record; /* ring buffer; its capacity is a power of two */
	uint32_t capacity;
	uint32_t oldest; /* number of the oldest record */
	uint32_t next;	 /* number of the next send */
	uint32_t outstanding;
};

/** completions_record() - return the record of a send, which must be from the oldest one to before the next one. */
static inline struct send_record *completions_record(const struct completions *completions,
						     uint32_t number)
{
	return &completions->record[number & (completions->capacity - 1)];
}

/** completions_init() - start with send number 0. */
void completions_init(struct completions *completions);

/** completions_free() - free the memory. No send may be outstanding. */
void completions_free(struct completions *completions);

/**
 * completions_reserve() - reserve memory for one more completions_add().
 *
 * Return: false without memory; then do not send by zero-copy.
 */
bool completions_reserve(struct completions *completions);

/**
 * completions_add() - record an accepted zero-copy send under the next number, and pin its blocks.
 * @first: first block that the send read from; the others are @first->next and so on
 * @blocks: number of blocks that it read from, at least 1
 * @whole_blocks: number of blocks of these that it read to their end
 *
 * Call completions_reserve() before the send.
 */
void completions_add(struct completions *completions, struct block *first, uint32_t blocks,
		     uint32_t whole_blocks);

/**
 * completions_restore() - record the next send as completions_add() did in the predecessor, and pin its blocks again.
 * @first: NULL: it is complete
 *
 * Return: false if its blocks are not linked, or without memory; then nothing has changed.
 */
bool completions_restore(struct completions *completions, struct block *first, uint32_t blocks,
			 uint32_t whole_blocks);

/**
 * completions_transfer() - save the records as the object "completions", or restore them after completions_init(); their
 * blocks are pinned again.
 * @ring: where these are; NULL: none is outstanding
 */
void completions_transfer(struct completions *completions, struct ring *ring, struct state *state);

/** completions_drop() - unpin all blocks without a completion: their memory is not written again. */
void completions_drop(struct completions *completions);

/** completions_blocks() - count the different blocks that the outstanding sends pin. Visits each. */
uint32_t completions_blocks(const struct completions *completions);

/**
 * completions_complete() - complete the sends from @low to @high, both included, and unpin their blocks.
 * @latency: gets the age at @now_ns of each block that one of these sends read to its end; or NULL
 *
 * Return: how many of these numbers were not outstanding; 0 unless there is a bug.
 */
uint64_t completions_complete(struct completions *completions, uint32_t low, uint32_t high,
			      struct histogram *latency, uint64_t now_ns);

#endif
