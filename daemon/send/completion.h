/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which blocks each zero-copy send of one socket still needs.
 *
 * The kernel numbers the successful zero-copy sends of a socket from 0, modulo 2^32, and reports
 * inclusive ranges of numbers as complete: each number once, several at a time, in any order. This
 * keeps a record for each number from its send on, holding a pin on every block that the send read
 * from, and lets go of it when the number is reported, once. A number that is not outstanding is
 * never acted on; it is counted, because it means that somebody's accounting is wrong.
 *
 *   oldest                     next
 *     │ 17 │ 18 ✓ │ 19 │ 20 ✓ │         18 and 20 are complete already, 17 and 19 are
 *     └── outstanding: 17, 19 ┘         outstanding; records end when the oldest one does
 */
#ifndef DMACAST_COMPLETION_H
#define DMACAST_COMPLETION_H

#include "lib/histogram.h"
#include "ring/block.h"

#include <stdbool.h>
#include <stdint.h>

struct completion_record {
	struct block *first; /* pinned, with those that follow it; NULL: complete */
	uint32_t blocks;
	uint32_t ended; /* of these, from the first one: their last byte went with this send */
};

struct completions {
	struct completion_record *record; /* ring buffer; its capacity is a power of two */
	uint32_t capacity;
	uint32_t oldest; /* number of the oldest record */
	uint32_t next;	 /* number that the next send gets */
	uint32_t outstanding;
};

/** completions_init() - nothing sent yet. */
void completions_init(struct completions *completions);

/** completions_free() - free the memory. Nothing must be outstanding. */
void completions_free(struct completions *completions);

/**
 * completions_reserve() - make sure that one more completions_add() has memory.
 *
 * Return: false when there is none: then do not send with zero-copy.
 */
bool completions_reserve(struct completions *completions);

/**
 * completions_add() - a zero-copy send was accepted: give it the next number, pin its blocks.
 * @first: the first block it read from; the others are @first->next and so on
 * @blocks: how many blocks it read from, at least 1
 * @ended: how many of these it read to their end
 *
 * Call completions_reserve() before the send.
 */
void completions_add(struct completions *completions, struct block *first, uint32_t blocks,
		     uint32_t ended);

/** completions_blocks() - how many different blocks the outstanding sends pin. Looks at each. */
uint32_t completions_blocks(const struct completions *completions);

/**
 * completions_complete() - the kernel reports the numbers from @low to @high, both included.
 * @latency: gets the age at @now_ns of each block that is read to its end now; or NULL
 *
 * Return: how many of these numbers were not outstanding; 0 when all is well.
 */
uint64_t completions_complete(struct completions *completions, uint32_t low, uint32_t high,
			      struct histogram *latency, uint64_t now_ns);

#endif
