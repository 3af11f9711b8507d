// SPDX-License-Identifier: BSD-2-Clause
/* The ring in memory: free and taken blocks, and the call when blocks are free. */
#include "lib/frame.h"
#include "lib/state.h"
#include "ring/ring_memory.h"

#include "capture.h"
#include "lib/process.h"
#include "ring/ring_type.h"
#include "tap.h"

#include <event2/event.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 8U
#define MOST_BLOCKS 64U

static struct capture capture;

static struct ring *create(size_t block_size, uint32_t blocks, enum huge_pages huge_pages)
{
	struct ring *ring = ring_memory_create("test", block_size, blocks, huge_pages);

	if (!ring)
		errx(1, "no ring");
	return ring;
}

static bool overlaps(const struct block *a, const struct block *b, size_t size)
{
	return a->data < b->data + size && b->data < a->data + size;
}

static void test_memory(size_t block_size, uint32_t blocks, enum huge_pages huge_pages,
			const char *title)
{
	struct ring *ring = create(block_size, blocks, huge_pages);
	struct block *block[MOST_BLOCKS];
	long page = sysconf(_SC_PAGESIZE);

	check(ring_blocks(ring) == blocks, "%u blocks", ring_blocks(ring));
	check(ring_block_size(ring) == block_size, "%zu bytes", ring_block_size(ring));
	check(ring_free_blocks(ring) == blocks, "%u free", ring_free_blocks(ring));
	check(!strncmp(ring_memory_text(ring), "memfd, ", 7) ||
		      (huge_pages == HUGE_PAGES_AUTO &&
		       !strncmp(ring_memory_text(ring), "anonymous, ", 11)),
	      "%s", ring_memory_text(ring));
	for (uint32_t i = 0; i < blocks; i++) {
		block[i] = ring_take(ring);
		if (!check(block[i], "block %u is missing", i))
			return;
		check(block[i]->index < blocks && block[i]->ring == ring, "index %u",
		      block[i]->index);
		check(!block[i]->length && !block[i]->next && !block[i]->pins &&
			      !block[i]->in_window,
		      "block %u is not empty", i);
		check((uintptr_t)block[i]->data % (uintptr_t)page == 0, "%p is no start of a page",
		      (void *)block[i]->data);
		/* Zero at first, and then filled, so that shared memory shows. */
		check(!block[i]->data[0] &&
			      !memcmp(block[i]->data, block[i]->data + 1, block_size - 1),
		      "block %u is not zeroed", i);
		memset(block[i]->data, (int)i + 1, block_size);
		memset(block[i]->header, (int)i + 1, FRAME_HEADER_BYTES);
		for (uint32_t j = 0; j < i; j++) {
			check(block[i] != block[j] && block[i]->index != block[j]->index,
			      "taken twice");
			check(!overlaps(block[i], block[j], block_size), "blocks %u and %u overlap",
			      i, j);
		}
	}
	check(!ring_take(ring), "one more than there are");
	check(ring_free_blocks(ring) == 0, "%u free", ring_free_blocks(ring));
	for (uint32_t i = 0; i < blocks; i++) {
		check(block[i]->data[0] == i + 1 && block[i]->data[block_size - 1] == i + 1,
		      "block %u was overwritten", i);
		check(block[i]->header[0] == i + 1 &&
			      block[i]->header[FRAME_HEADER_BYTES - 1] == i + 1,
		      "the header of block %u was overwritten", i);
		ring_put(ring, block[i]);
		check(ring_free_blocks(ring) == i + 1, "%u free", ring_free_blocks(ring));
	}
	ring_destroy(ring);
	point("%s: zeroed blocks, and headers, that do not overlap", title);
}

static void test_again(void)
{
	struct ring *ring = create(4096, BLOCKS, HUGE_PAGES_NEVER);
	struct block *block = ring_take(ring), *again;

	block->length = 123;
	memset(block->data, 0x5a, 4096);
	ring_put(ring, block);
#ifdef DMACAST_POISON
	check(block->data[0] != 0x5a && block->data[4095] != 0x5a, "not poisoned");
#endif
	again = ring_take(ring);
	check(again == block, "not the block that is in the cache");
	check(!again->length && !again->next, "not empty");
	ring_put(ring, again);
	ring_destroy(ring);
	point("a block that came back is taken first, and is empty");
}

/* While there are pins, which zero-copy sends have. */
static void test_neighbours(void)
{
	struct ring *ring = create(4096, BLOCKS, HUGE_PAGES_NEVER);
	struct block *pinned = ring_take(ring), *before = NULL, *block;
	uint32_t neighbours = 0;

	block_enter_window(pinned);
	block_pin(pinned);
	block_leave_window(pinned);
	for (uint32_t lap = 0; lap < 3; lap++) {
		for (uint32_t i = 0; i < BLOCKS - 1; i++) {
			block = ring_take(ring);
			neighbours += before && block->data == before->data + 4096;
			before = block;
			ring_put(ring, block);
		}
	}
	/* All but the steps over the end, and over the pinned one, are from one to the next. */
	check(neighbours == 3 * (BLOCKS - 1) - 3, "%u neighbours", neighbours);
	check(ring_reuse(ring) == RING_SEQUENTIAL, "order %d", ring_reuse(ring));
	ring_set_reuse(ring, RING_LIFO);
	for (uint32_t i = 0; i < 3; i++) {
		check(ring_take(ring) == block, "not the block that came back last");
		ring_put(ring, block);
	}
	ring_set_reuse(ring, RING_SEQUENTIAL);
	before = ring_take(ring);
	check(before != block, "the same block again");
	ring_put(ring, before);
	block_unpin(pinned);
	check(ring_reuse(ring) == RING_LIFO, "order %d without pins", ring_reuse(ring));
	check(ring_take(ring) == pinned, "not the block that came back last");
	ring_put(ring, pinned);
	ring_destroy(ring);
	point("with pins blocks are taken in the order of memory, unless the order is set to LIFO");
}

/* The first time, and again after they came back in any order. */
static void test_ring_order(void)
{
	struct ring *ring = create(4096, BLOCKS, HUGE_PAGES_NEVER);
	struct block *block[BLOCKS];

	for (uint32_t i = 0; i < BLOCKS; i++) {
		block[i] = ring_take(ring);
		check(block[i]->data == block[0]->data + 4096 * (size_t)i, "block %u is index %u",
		      i, block[i]->index);
	}
	point("at first blocks are taken in the order of their memory");
	block_enter_window(block[BLOCKS - 1]);
	block_pin(block[BLOCKS - 1]);
	block_leave_window(block[BLOCKS - 1]);
	for (uint32_t i = 0; i < BLOCKS - 1; i++)
		ring_put(ring, block[i * 3 % (BLOCKS - 1)]);
	for (uint32_t i = 0; i < BLOCKS - 1; i++)
		check(ring_take(ring) == block[i], "block %u is another one", i);
	block_unpin(block[BLOCKS - 1]);
	for (uint32_t i = 0; i < BLOCKS - 1; i++)
		ring_put(ring, block[i]);
	ring_destroy(ring);
	point("and with pins, whatever the order in which they came back");
}

static void count_call(void *argument)
{
	++*(int *)argument;
}

static void test_notify(void)
{
	for (uint32_t notify_at = 1; notify_at <= BLOCKS; notify_at++) {
		struct ring *ring = create(4096, BLOCKS, HUGE_PAGES_NEVER);
		struct block *block[BLOCKS];
		int calls = 0;

		ring_on_free(ring, notify_at, count_call, &calls);
		for (int round = 0; round < 3; round++) {
			bool starve = round != 1; /* the middle round takes the last, no more */

			calls = 0;
			for (uint32_t i = 0; i < BLOCKS; i++)
				block[i] = ring_take(ring);
			if (starve)
				check(!ring_take(ring) && !ring_take(ring), "more blocks");
			for (uint32_t i = 0; i < BLOCKS; i++) {
				int expected = starve && i + 1 >= notify_at;

				ring_put(ring, block[i]);
				check(calls == expected, "%d calls at %u free, notify_at is %u",
				      calls, i + 1, notify_at);
			}
		}
		ring_on_free(ring, 1, NULL, NULL); /* nobody waits any more */
		for (uint32_t i = 0; i < BLOCKS; i++)
			block[i] = ring_take(ring);
		check(!ring_take(ring), "one more");
		for (uint32_t i = 0; i < BLOCKS; i++)
			ring_put(ring, block[i]);
		check(calls == 1, "%d calls", calls);
		ring_destroy(ring);
	}
	point("who found no block is told once, when enough are free");
}

static void test_ring_pins(void)
{
	struct ring *ring = create(4096, BLOCKS, HUGE_PAGES_NEVER);
	struct block *a = ring_take(ring), *b = ring_take(ring);

	block_enter_window(a);
	block_enter_window(b);
	check(ring_pinned_blocks(ring) == 0, "%u pinned", ring_pinned_blocks(ring));
	block_pin(a);
	block_pin(a);
	check(ring_pinned_blocks(ring) == 1, "%u pinned", ring_pinned_blocks(ring));
	block_pin(b);
	check(ring_pinned_blocks(ring) == 2, "%u pinned", ring_pinned_blocks(ring));
	check(ring_pin_allowance(ring) == BLOCKS - 2, "%u may be pinned", ring_pin_allowance(ring));
	ring_set_max_pinned(ring, 3);
	check(ring_pin_allowance(ring) == 1, "%u may be pinned", ring_pin_allowance(ring));
	ring_set_max_pinned(ring, 1);
	check(ring_pin_allowance(ring) == 0, "%u may be pinned", ring_pin_allowance(ring));
	block_leave_window(a);
	block_unpin(a);
	check(ring_pinned_blocks(ring) == 2 && ring_free_blocks(ring) == BLOCKS - 2,
	      "a went with a pin left");
	block_unpin(a);
	check(ring_pinned_blocks(ring) == 1 && ring_free_blocks(ring) == BLOCKS - 1,
	      "a did not go with its last pin");
	block_unpin(b);
	check(ring_pinned_blocks(ring) == 0 && ring_free_blocks(ring) == BLOCKS - 1,
	      "b went while in the window");
	block_leave_window(b);
	check(ring_free_blocks(ring) == BLOCKS, "b did not go with the window");
	ring_destroy(ring);
	point("pinned blocks are counted, and come back with the last hold");
}

/* Return the MiB in transparent huge pages, as the text of the ring says. */
static unsigned long transparent_mib(const struct ring *ring)
{
	const char *share = strstr(ring_memory_text(ring), "pages, ");

	check(share && strstr(share, " MiB of it in transparent huge pages"), "%s",
	      ring_memory_text(ring));
	return share ? strtoul(share + 7, NULL, 10) : 0;
}

/* Two that are as large as some huge pages: each says what it has, and they are not in each other. */
static void test_transparent(void)
{
	struct ring *ring[2];
	struct block *block[2][BLOCKS];
	size_t size = 1 << 20;

	for (int i = 0; i < 2; i++) {
		ring[i] = create(size, BLOCKS, HUGE_PAGES_AUTO);
		for (uint32_t j = 0; j < BLOCKS; j++) {
			block[i][j] = ring_take(ring[i]);
			memset(block[i][j]->data, i + 1, size);
		}
	}
	for (int i = 0; i < 2; i++) {
		if (!strncmp(ring_memory_text(ring[i]), "anonymous", 9)) {
			unsigned long mib = transparent_mib(ring[i]);

			check(mib > 0 && mib <= BLOCKS, "%lu MiB", mib);
		}
		for (uint32_t j = 0; j < BLOCKS; j++) {
			const unsigned char *data = block[i][j]->data;

			check(data[0] == i + 1 && !memcmp(data, data + 1, size - 1),
			      "block %u of ring %d", j, i);
			ring_put(ring[i], block[i][j]);
		}
		ring_destroy(ring[i]);
	}
	point("two rings of a few huge pages do not overlap, and say what each of them has");
}

/* ---- a kernel that makes no huge pages of shared memory ---- */

static int no_collapse; /* errno of MADV_COLLAPSE; 0: it works */

/* This program's own one stands before that of the C library. */
int madvise(void *memory, size_t length, int advice)
{
	if (no_collapse && advice == 25 /* MADV_COLLAPSE */) {
		errno = no_collapse;
		return -1;
	}
	return (int)syscall(SYS_madvise, memory, length, advice);
}

static void test_no_collapse(void)
{
	struct state *state = state_create();
	struct ring *ring;
	bool anonymous;

	no_collapse = EINVAL; /* as before Linux 6.1 */
	capture_begin(&capture, STDERR_FILENO);
	ring = create(1 << 20, BLOCKS, HUGE_PAGES_AUTO);
	capture_end(&capture);
	no_collapse = 0;
	/* Without any transparent huge pages, or with shmem_enabled = advise, it is a memfd. */
	anonymous = !strncmp(ring_memory_text(ring), "anonymous", 9);
	printf("# %s\n", ring_memory_text(ring));
	check(anonymous == (strstr(capture.text, "write advise to /sys/") != NULL), "%s",
	      capture.text);
	ring_save(ring, state);
	check(anonymous == state_failed(state), "%s", state_why(state));
	check(!anonymous || strstr(state_why(state), "anonymous memory"), "%s", state_why(state));
	state_free(state);
	ring_destroy(ring);
	point("anonymous huge pages are the last resort, and are not handed over");
}

/* No huge page is free at the moment: a ring that can be handed over is worth more than huge pages. */
static void test_collapse_fails_now(void)
{
	struct state *state = state_create();
	struct ring *ring;

	no_collapse = EAGAIN;
	ring = create(1 << 20, BLOCKS, HUGE_PAGES_AUTO);
	no_collapse = 0;
	check(!strncmp(ring_memory_text(ring), "memfd", 5), "%s", ring_memory_text(ring));
	ring_save(ring, state);
	check(!state_failed(state), "%s", state_why(state));
	state_free(state);
	ring_destroy(ring);
	point("a ring without a huge page at the moment can be handed over");
}

/* ---- slices ---- */

#define SLICED_BLOCK 65536U
#define SLICED_BLOCKS 1024U
#define SLICED_KIB (SLICED_BLOCK / 1024 * SLICED_BLOCKS)

/* Return the resident memory of this process in KiB. */
static uint64_t resident_kib(void)
{
	return process_resident_bytes() / 1024;
}

/* Return true if the mapping at @memory is not copied by fork(). */
static bool is_not_forked(const void *memory)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	uintptr_t start, end;
	bool here = false, is_not = false;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
			here = start <= (uintptr_t)memory && (uintptr_t)memory < end;
		if (here && !strncmp(line, "VmFlags:", 8))
			is_not = strstr(line, " dc");
	}
	if (file)
		fclose(file);
	return is_not;
}

/* Run the event loop until all memory is given back. Return: the number of iterations. */
static unsigned int run_release(struct event_base *base)
{
	unsigned int iterations = 0;

	while (event_base_loop(base, EVLOOP_ONCE) == 0)
		iterations++;
	return iterations;
}

static struct ring_maker *start_sliced(struct event_base *base, enum huge_pages huge_pages)
{
	struct ring_maker *maker =
		ring_maker_start(base, "test", SLICED_BLOCK, SLICED_BLOCKS, huge_pages);

	if (!maker)
		errx(1, "no maker");
	return maker;
}

static void test_slices(enum huge_pages huge_pages, unsigned int min_steps, const char *title)
{
	struct event_base *base = event_base_new();
	struct ring_maker *maker = start_sliced(base, huge_pages);
	uint64_t before = resident_kib(), last = before, now;
	unsigned int steps = 0;
	enum ring_progress progress;
	struct ring *ring;

	do {
		progress = ring_maker_step(maker);
		now = resident_kib();
		/* valgrind's own memory is counted, too. */
		check(now <= last + 8192 || tap_under_valgrind(), "%" PRIu64 " KiB in one step",
		      now - last);
		last = now;
		steps += progress != RING_WAITING;
		if (progress == RING_WAITING)
			usleep(1000);
	} while (progress == RING_MORE || progress == RING_WAITING);
	check(progress == RING_READY, "failed");
	check(steps >= min_steps, "%u steps", steps);
	ring = ring_maker_take(maker);
	/* The kernel's count is exact to some pages of each CPU only. */
	check(resident_kib() - before >= SLICED_KIB - 1024, "%" PRIu64 " KiB",
	      resident_kib() - before);
	check(is_not_forked(ring_take_block(ring, 0)->data), "copied by fork()");
	ring_put(ring, &ring->block[0]);
	check(ring_free_blocks(ring) == SLICED_BLOCKS, "%u blocks", ring_free_blocks(ring));
	ring_destroy(ring);
	run_release(base);
	check(resident_kib() < before + SLICED_KIB / 4 || tap_under_valgrind(),
	      "%" PRIu64 " KiB stay", resident_kib() - before);
	event_base_free(base);
	point("%s", title);
}

static void test_cancelled(void)
{
	struct event_base *base = event_base_new();
	struct ring_maker *maker = start_sliced(base, HUGE_PAGES_NEVER);
	uint64_t before = resident_kib();

	while (resident_kib() < before + SLICED_KIB / 2 && ring_maker_step(maker) == RING_MORE)
		;
	ring_maker_cancel(maker);
	run_release(base);
	check(resident_kib() < before + SLICED_KIB / 4, "%" PRIu64 " KiB stay",
	      resident_kib() - before);
	event_base_free(base);
	point("a ring that is not complete is given back");
}

static void test_cancelled_collapse(void)
{
	struct event_base *base = event_base_new();
	struct ring_maker *maker = start_sliced(base, HUGE_PAGES_AUTO);
	bool waited = false;
	int steps = 0;

	while (!waited && steps++ < 100)
		waited = ring_maker_step(maker) == RING_WAITING;
	ring_maker_cancel(maker);
	run_release(base);
	event_base_free(base);
	/* The process was killed, and the end of a process takes its time. */
	for (int ms = 0; ms < 10000 && waitpid(-1, NULL, 0) > 0; ms++)
		;
	check(errno == ECHILD, "a process is left");
	/* Without transparent huge pages there is none. */
	printf("# %s\n", waited ? "a process was at work" : "no process was needed");
	point("the process that makes huge pages ends with a ring that is not wanted any more");
}

static void test_ring_errors(void)
{
	static const struct {
		enum huge_pages huge_pages;
		const char *says;
	} table[] = {
		{ HUGE_PAGES_REQUIRE, "huge-pages = require" },
		{ HUGE_PAGES_AUTO, "lower ring-size" },
		{ HUGE_PAGES_NEVER, "lower ring-size" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct ring *ring;

		capture_begin(&capture, STDERR_FILENO);
		ring = ring_memory_create("name-of-it", 1U << 30, 1U << 16, table[i].huge_pages);
		capture_end(&capture);
		check(!ring, "64 TiB");
		check(strstr(capture.text, "stream name-of-it: ") &&
			      strstr(capture.text, "64 TiB") && strstr(capture.text, table[i].says),
		      "%s", capture.text);
	}
	point("a ring larger than the memory is refused, and the error says what to do");
}

int main(void)
{
	test_memory(4096, 4, HUGE_PAGES_NEVER, "4 blocks of a page");
	test_memory(12288, 33, HUGE_PAGES_NEVER, "33 blocks of 3 pages");
	test_memory(65536, 64, HUGE_PAGES_AUTO, "64 blocks, of huge pages if there are any");
	test_memory(3 << 20, 3, HUGE_PAGES_AUTO, "3 blocks, no multiple of a huge page");
	test_again();
	test_neighbours();
	test_ring_order();
	test_notify();
	test_ring_pins();
	test_transparent();
	test_no_collapse();
	test_collapse_fails_now();
	test_slices(HUGE_PAGES_NEVER, SLICED_KIB / 256, "small pages are allocated in slices");
	test_slices(HUGE_PAGES_AUTO, 8, "huge ones, too");
	test_cancelled();
	test_cancelled_collapse();
	test_ring_errors();
	return tap_end();
}
