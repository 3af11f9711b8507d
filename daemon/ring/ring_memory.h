/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring in memory of the daemon, with huge pages where possible. */
#ifndef DMACAST_RING_MEMORY_H
#define DMACAST_RING_MEMORY_H

#include "lib/settings.h"
#include "ring/ring.h"

/**
 * ring_memory_create() - allocate a ring, with all its pages, which are zero.
 * @block_size: bytes, a multiple of the page size
 * @blocks: number of blocks
 *
 * Return: NULL after an error, which was logged with @name.
 */
struct ring *ring_memory_create(const char *name, size_t block_size, uint32_t blocks,
				enum huge_pages huge_pages);

#endif
