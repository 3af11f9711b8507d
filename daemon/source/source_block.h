/* SPDX-License-Identifier: BSD-2-Clause */
/* What each source does with a block that it fills from a descriptor. */
#ifndef DMACAST_SOURCE_BLOCK_H
#define DMACAST_SOURCE_BLOCK_H

#include "source/source.h"

#include <stdint.h>

/**
 * source_block_take() - return a free block of the ring, after make_room() at its low-water mark; NULL after starved(),
 * when there is none.
 * @low_water: in blocks
 */
struct block *source_block_take(struct ring *ring, uint64_t low_water,
				const struct source_callbacks *callbacks, void *argument);

/** source_block_date() - note when a block was complete, and the time of day of its first byte. */
void source_block_date(struct block *block);

#endif
