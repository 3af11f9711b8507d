// SPDX-License-Identifier: BSD-2-Clause
#include "send/completion.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 8U

static uint32_t send_record_count(const struct completions *completions)
{
	return completions->next - completions->oldest;
}

void completions_init(struct completions *completions)
{
	memset(completions, 0, sizeof(*completions));
}

void completions_free(struct completions *completions)
{
	assert(!completions->outstanding);
	free(completions->record);
	completions_init(completions);
}

bool completions_reserve(struct completions *completions)
{
	uint32_t count = send_record_count(completions), capacity = completions->capacity;
	struct send_record *record;

	if (count < capacity)
		return true;
	capacity = capacity ? 2 * capacity : FIRST_CAPACITY;
	if (!capacity)
		return false;
	record = reallocarray(NULL, capacity, sizeof(*record));
	if (!record)
		return false;
	for (uint32_t i = 0; i < count; i++)
		record[(completions->oldest + i) & (capacity - 1)] =
			*completions_record(completions, completions->oldest + i);
	free(completions->record);
	completions->record = record;
	completions->capacity = capacity;
	return true;
}

void completions_add(struct completions *completions, struct block *first, uint32_t blocks,
		     uint32_t whole_blocks)
{
	struct send_record *record;
	struct block *block = first;

	assert(blocks && whole_blocks <= blocks &&
	       send_record_count(completions) < completions->capacity);
	record = completions_record(completions, completions->next++);
	record->first = first;
	record->blocks = blocks;
	record->whole_blocks = whole_blocks;
	completions->outstanding++;
	for (uint32_t i = 0; i < blocks; i++, block = block->next)
		block_pin(block);
}

static bool can_be_pinned(const struct block *block, uint32_t blocks)
{
	for (; blocks && block && block_may_restore(block); blocks--)
		block = block->next;
	return !blocks;
}

bool completions_restore(struct completions *completions, struct block *first, uint32_t blocks,
			 uint32_t whole_blocks)
{
	struct block *block = first;

	if (first && (!blocks || whole_blocks > blocks || !can_be_pinned(first, blocks)))
		return false;
	if (!completions_reserve(completions))
		return false;
	*completions_record(completions, completions->next++) = (struct send_record){
		.first = first,
		.blocks = blocks,
		.whole_blocks = whole_blocks,
	};
	completions->outstanding += first != NULL;
	for (uint32_t i = 0; first && i < blocks; i++, block = block->next)
		block_restore_pin(block);
	return true;
}

/* Sends are in order, so only neighbours share a block: the last of one is the first of the next. */
uint32_t completions_blocks(const struct completions *completions)
{
	const struct block *last = NULL;
	uint32_t count = 0;

	for (uint32_t i = 0; i < send_record_count(completions); i++) {
		const struct send_record *record =
			completions_record(completions, completions->oldest + i);
		const struct block *block = record->first;

		for (uint32_t n = 0; block && n < record->blocks; n++, block = block->next) {
			count += block != last;
			last = block;
		}
	}
	return count;
}

/* Unpin the blocks of a record. Return: true if it was outstanding. */
static bool send_record_release(struct completions *completions, struct send_record *record,
				struct histogram *latency, uint64_t now_ns)
{
	struct block *block = record->first;

	if (!block)
		return false;
	record->first = NULL;
	completions->outstanding--;
	for (uint32_t i = 0; i < record->blocks; i++) {
		struct block *next = block->next; /* block_unpin() may recycle the block */

		if (latency && i < record->whole_blocks)
			histogram_add(latency, block_age(block, now_ns));
		block_unpin(block);
		block = next;
	}
	return true;
}

/* Free the oldest records, up to the first one that is outstanding. */
static void completions_trim(struct completions *completions)
{
	while (completions->oldest != completions->next &&
	       !completions_record(completions, completions->oldest)->first)
		completions->oldest++;
}

uint64_t completions_complete(struct completions *completions, uint32_t low, uint32_t high,
			      struct histogram *latency, uint64_t now_ns)
{
	uint64_t reported = (uint64_t)(high - low) + 1;
	uint32_t count = send_record_count(completions);
	uint32_t first = low - completions->oldest;
	uint64_t released = 0;

	if (first < count && reported <= count - first) {
		/* The usual case: the whole range is within the records. */
		for (uint32_t i = first; i < first + reported; i++)
			released += send_record_release(
				completions,
				completions_record(completions, completions->oldest + i), latency,
				now_ns);
	} else {
		/* The range reaches beyond the records: select the records that are in it. */
		for (uint32_t i = 0; i < count; i++) {
			uint32_t number = completions->oldest + i;

			if (number - low <= high - low)
				released += send_record_release(
					completions, completions_record(completions, number),
					latency, now_ns);
		}
	}
	completions_trim(completions);
	return reported - released;
}

void completions_drop(struct completions *completions)
{
	for (uint32_t i = 0; i < send_record_count(completions); i++)
		send_record_release(completions,
				    completions_record(completions, completions->oldest + i), NULL,
				    0);
	completions_trim(completions);
}
