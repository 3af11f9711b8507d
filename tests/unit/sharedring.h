/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring in memory that a successor can map. */
#ifndef DMACAST_TEST_SHAREDRING_H
#define DMACAST_TEST_SHAREDRING_H

#include "lib/state.h"
#include "ring/ring_memory.h"
#include "tap.h"

#include <err.h>
#include <string.h>

static inline struct ring *shared_ring_make(size_t block_size, uint32_t blocks,
					    enum huge_pages huge_pages)
{
	struct ring *ring = ring_memory_create("test", block_size, blocks, huge_pages);

	if (!ring)
		errx(1, "no ring");
	return ring;
}

/* Where the kernel has huge pages for anonymous memory only, the ring is refused; return one of small pages then. */
static inline struct ring *shared_ring_create(size_t block_size, uint32_t blocks,
					      enum huge_pages huge_pages)
{
	struct ring *ring = shared_ring_make(block_size, blocks, huge_pages);
	struct state *state;

	if (strncmp(ring_memory_text(ring), "anonymous", 9) != 0)
		return ring;
	state = state_create();
	ring_save(ring, state);
	check(strstr(state_why(state), "anonymous memory"), "%s", state_why(state));
	state_free(state);
	ring_destroy(ring);
	return shared_ring_make(block_size, blocks, HUGE_PAGES_NEVER);
}

#endif
