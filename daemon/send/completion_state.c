// SPDX-License-Identifier: BSD-2-Clause
/* The records of sends in the state of a handover. */
#include "lib/state.h"
#include "ring/ring.h"
#include "send/completion.h"

#include <inttypes.h>
#include <stdlib.h>

/* Bounds what a wrong state can allocate. No socket buffer holds that many sends. */
#define MAX_SENDS (1U << 22)

/* The records, as one list of numbers for each member. */
struct send_columns {
	uint32_t count;
	uint64_t *first; /* index in the ring; RING_NO_BLOCK: complete */
	uint64_t *blocks;
	uint64_t *whole_blocks;
};

static void columns_transfer(struct send_columns *columns, struct state *state)
{
	state_numbers(state, "first", columns->first, columns->count);
	state_numbers(state, "blocks", columns->blocks, columns->count);
	state_numbers(state, "whole_blocks", columns->whole_blocks, columns->count);
}

static void columns_save(struct send_columns *columns, const struct completions *completions,
			 struct state *state)
{
	for (uint32_t i = 0; i < columns->count; i++) {
		const struct send_record *record =
			completions_record(completions, completions->oldest + i);

		columns->first[i] = record->first ? record->first->index : RING_NO_BLOCK;
		columns->blocks[i] = record->blocks;
		columns->whole_blocks[i] = record->whole_blocks;
	}
	columns_transfer(columns, state);
}

static void columns_restore(struct send_columns *columns, struct completions *completions,
			    struct ring *ring, struct state *state)
{
	columns_transfer(columns, state);
	for (uint32_t i = 0; !state_failed(state) && i < columns->count; i++) {
		struct block *first = ring_find_taken(ring, columns->first[i]);

		if ((!first && columns->first[i] != RING_NO_BLOCK) ||
		    columns->blocks[i] > UINT32_MAX ||
		    columns->whole_blocks[i] > columns->blocks[i] ||
		    !completions_restore(completions, first, (uint32_t)columns->blocks[i],
					 (uint32_t)columns->whole_blocks[i]))
			state_fail(state,
				   "send %u: %" PRIu64 " blocks from block %" PRIu64
				   " are not in use, or there is no memory",
				   completions->next, columns->blocks[i], columns->first[i]);
	}
}

void completions_transfer(struct completions *completions, struct ring *ring, struct state *state)
{
	struct send_columns columns = { .count = completions->next - completions->oldest };
	uint64_t *numbers = NULL;

	state_enter(state, "completions");
	state_u32(state, "oldest", &completions->oldest);
	state_u32(state, "count", &columns.count);
	if (columns.count > MAX_SENDS)
		state_fail(state, "%u sends; expected at most %u", columns.count, MAX_SENDS);
	if (!state_failed(state))
		numbers = calloc((size_t)columns.count + 1, 3 * sizeof(*numbers));
	if (!numbers)
		state_fail(state, "no memory for %u sends", columns.count);
	if (!state_is_saving(state))
		completions->next = completions->oldest;
	if (numbers) {
		columns.first = numbers;
		columns.blocks = numbers + columns.count;
		columns.whole_blocks = numbers + 2 * (size_t)columns.count;
		if (state_is_saving(state))
			columns_save(&columns, completions, state);
		else
			columns_restore(&columns, completions, ring, state);
	}
	free(numbers);
	state_leave(state);
}
