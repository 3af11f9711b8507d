// SPDX-License-Identifier: BSD-2-Clause
#include "source/source_block.h"

#include "lib/clock.h"

struct block *source_block_take(struct ring *ring, uint64_t low_water,
				const struct source_callbacks *callbacks, void *argument)
{
	struct block *block;

	if (ring_free_blocks(ring) <= low_water)
		callbacks->make_room(argument);
	block = ring_take(ring);
	if (!block)
		callbacks->starved(argument);
	return block;
}

void source_block_date(struct block *block)
{
	block->monotonic_ns = clock_monotonic_ns();
	block->realtime_ns = clock_ns(CLOCK_REALTIME) - (block->monotonic_ns - block->captured_ns);
}
