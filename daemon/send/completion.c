// SPDX-License-Identifier: BSD-2-Clause
#include "send/completion.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 8U

static struct completion_record *record_of(const struct completions *completions, uint32_t number)
{
	return &completions->record[number & (completions->capacity - 1)];
}

static uint32_t record_count(const struct completions *completions)
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
	uint32_t count = record_count(completions), capacity = completions->capacity;
	struct completion_record *record;

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
			*record_of(completions, completions->oldest + i);
	free(completions->record);
	completions->record = record;
	completions->capacity = capacity;
	return true;
}

void completions_add(struct completions *completions, struct block *first, uint32_t blocks,
		     uint32_t ended)
{
	struct completion_record *record;
	struct block *block = first;

	assert(blocks && ended <= blocks && record_count(completions) < completions->capacity);
	record = record_of(completions, completions->next++);
	record->first = first;
	record->blocks = blocks;
	record->ended = ended;
	completions->outstanding++;
	for (uint32_t i = 0; i < blocks; i++, block = block->next)
		block_pin(block);
}

/* In order, so that only neighbours have blocks in common: the last of one, the first of the next. */
uint32_t completions_blocks(const struct completions *completions)
{
	const struct block *last = NULL;
	uint32_t count = 0;

	for (uint32_t i = 0; i < record_count(completions); i++) {
		const struct completion_record *record =
			record_of(completions, completions->oldest + i);
		const struct block *block = record->first;

		for (uint32_t n = 0; block && n < record->blocks; n++, block = block->next) {
			count += block != last;
			last = block;
		}
	}
	return count;
}

/* Return: whether the record was outstanding. */
static bool release(struct completions *completions, struct completion_record *record,
		    struct histogram *latency, uint64_t now_ns)
{
	struct block *block = record->first;

	if (!block)
		return false;
	record->first = NULL;
	completions->outstanding--;
	for (uint32_t i = 0; i < record->blocks; i++) {
		struct block *next = block->next; /* the block may be recycled */

		if (latency && i < record->ended)
			histogram_add(latency, block_age(block, now_ns));
		block_unpin(block);
		block = next;
	}
	return true;
}

static void drop_complete(struct completions *completions)
{
	while (completions->oldest != completions->next &&
	       !record_of(completions, completions->oldest)->first)
		completions->oldest++;
}

uint64_t completions_complete(struct completions *completions, uint32_t low, uint32_t high,
			      struct histogram *latency, uint64_t now_ns)
{
	uint64_t reported = (uint64_t)(high - low) + 1;
	uint32_t count = record_count(completions);
	uint32_t first = low - completions->oldest;
	uint64_t released = 0;

	if (first < count && reported <= count - first) {
		/* As it should be: the whole range is within the records. */
		for (uint32_t i = first; i < first + reported; i++)
			released += release(completions,
					    record_of(completions, completions->oldest + i),
					    latency, now_ns);
	} else {
		/* It is not: pick out what is. */
		for (uint32_t i = 0; i < count; i++) {
			uint32_t number = completions->oldest + i;

			if (number - low <= high - low)
				released += release(completions, record_of(completions, number),
						    latency, now_ns);
		}
	}
	drop_complete(completions);
	return reported - released;
}
