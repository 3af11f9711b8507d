// SPDX-License-Identifier: BSD-2-Clause
/* A window that cannot be saved for lack of memory: the predecessor goes on with it. */
#include "lib/settings.h"
#include "lib/state.h"
#include "ring/ring.h"
#include "ring/ring_memory.h"
#include "stream/window.h"

#include "statepass.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

/* Allow no new mapping. Return: the limit before. */
static struct rlimit forbid_mappings(void)
{
	struct rlimit before, none;

	getrlimit(RLIMIT_AS, &before);
	none = before;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_AS, &none);
	return before;
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
	before = forbid_mappings();
	window_transfer(window, ring, state);
	setrlimit(RLIMIT_AS, &before);
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

/* Return true if the process would be ended without memory. */
static bool ends_without_memory(void)
{
#ifdef __SANITIZE_ADDRESS__
	return true;
#else
	return tap_under_valgrind();
#endif
}

int main(void)
{
	if (ends_without_memory())
		tap_skip("without memory nothing changes", "the tool ends the process");
	else
		test_no_memory();
	return tap_end();
}
