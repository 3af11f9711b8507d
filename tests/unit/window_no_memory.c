// SPDX-License-Identifier: BSD-2-Clause
/* A window that cannot be saved for lack of memory: the predecessor goes on with it. */
#include "lib/settings.h"
#include "lib/state.h"
#include "ring/ring.h"
#include "ring/ring_memory.h"
#include "stream/window.h"

#include "addresslimit.h"
#include "statepass.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Number of blocks whose list of indices is a mapping of its own in malloc(). */
#define BLOCKS (1U << 17)
#define BLOCK_BYTES 64

static void window_fill(struct window *window, struct ring *ring)
{
	for (unsigned int i = 0; i < BLOCKS - 1; i++) {
		struct block *block = ring_take(ring);

		block->length = BLOCK_BYTES;
		block->position = (uint64_t)i * BLOCK_BYTES;
		window_push(window, block);
	}
}

static void test_no_memory(void)
{
	struct ring *ring = ring_memory_create("test", BLOCK_BYTES, BLOCKS, HUGE_PAGES_NEVER);
	struct window *window = window_create(BLOCKS);
	struct state *state = state_begin_saving();
	struct cursor cursor = { 0 };
	struct rlimit before;

	window_join(window, &cursor, 0);
	window_fill(window, ring);
	free(malloc(64 << 10)); /* for the small values */
	before = addresslimit_forbid();
	window_transfer(window, ring, state);
	addresslimit_allow(&before);
	check(strstr(state_why(state), "window: no memory") != NULL, "%s", state_why(state));
	state_free(state);
	check(window_head(window) == BLOCKS - 1 && window_length(window) == BLOCKS - 1,
	      "head %u, length %u", (unsigned int)window_head(window),
	      (unsigned int)window_length(window));
	window_leave(window, &cursor);
	check(ring_free_blocks(ring) == BLOCKS, "blocks are lost");
	window_destroy(window);
	ring_destroy(ring);
	point("without memory nothing changes while a window is saved");
}

int main(void)
{
	if (addresslimit_ends_process())
		tap_skip("without memory nothing changes", "the tool ends the process");
	else
		test_no_memory();
	return tap_end();
}
