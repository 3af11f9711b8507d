// SPDX-License-Identifier: BSD-2-Clause
#include "ring/ring.h"

#include "lib/frame.h"
#include "lib/interrupted.h"
#include "ring/ring_type.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum ring_reuse ring_reuse(const struct ring *ring)
{
	return ring->pinned_blocks ? ring->reuse : RING_LIFO;
}

static struct block *hand_out(struct ring *ring, struct block *block)
{
	assert(!block->pins && !block->in_window);
	ring->free_blocks--;
	block->is_taken = true;
	block->next = NULL;
	block->length = 0;
	return block;
}

/* If the block behind the last one is not free, RING_SEQUENTIAL falls back to the one that came back first. */
static struct block *choose_free(const struct ring *ring)
{
	struct block *neighbour = &ring->block[ring->following];

	if (ring_reuse(ring) == RING_LIFO)
		return TAILQ_FIRST(&ring->free_list);
	return neighbour->is_listed ? neighbour : TAILQ_LAST(&ring->free_list, block_list);
}

struct block *ring_take(struct ring *ring)
{
	struct block *block = choose_free(ring);

	if (!block) {
		ring->wants_free = true;
		return NULL;
	}
	TAILQ_REMOVE(&ring->free_list, block, free_entry);
	block->is_listed = false;
	ring->following = (block->index + 1) % ring->blocks;
	return hand_out(ring, block);
}

void ring_set_reuse(struct ring *ring, enum ring_reuse reuse)
{
	ring->reuse = reuse;
}

void ring_return_unused(struct ring *ring, struct block *block)
{
	ring_put(ring, block);
	ring->following = block->index;
}

struct block *ring_take_block(struct ring *ring, uint32_t index)
{
	assert(index < ring->blocks && ring->free_blocks);
	return hand_out(ring, &ring->block[index]);
}

static void ring_notify_if_due(struct ring *ring)
{
	if (!ring->wants_free || ring->free_blocks < ring->notify_at)
		return;
	ring->wants_free = false;
	if (ring->notify)
		ring->notify(ring->notify_argument);
}

/* Show a header whose block comes back too early at whatever still reads it. */
static void poison_header(struct block *block)
{
#ifdef DMACAST_POISON
	memset(block->header, RING_POISON_BYTE, FRAME_HEADER_BYTES);
#else
	(void)block;
#endif
}

void ring_put(struct ring *ring, struct block *block)
{
	assert(!block->pins && !block->in_window);
	assert(ring->free_blocks < ring->blocks);
	poison_header(block);
	block->is_taken = false;
	ring->type->give_back(ring, block);
	ring->free_blocks++;
	ring_notify_if_due(ring);
}

void ring_want_free(struct ring *ring)
{
	ring->wants_free = true;
}

bool ring_is_awaited(const struct ring *ring)
{
	return ring->wants_free && ring->notify;
}

void ring_on_free(struct ring *ring, uint32_t notify_at, void (*notify)(void *argument),
		  void *argument)
{
	ring->notify_at = notify_at;
	ring->notify = notify;
	ring->notify_argument = argument;
	ring_notify_if_due(ring);
}

uint32_t ring_blocks(const struct ring *ring)
{
	return ring->blocks;
}

uint32_t ring_free_blocks(const struct ring *ring)
{
	return ring->free_blocks;
}

uint32_t ring_pinned_blocks(const struct ring *ring)
{
	return ring->pinned_blocks;
}

bool ring_is_device(const struct ring *ring)
{
	return ring->type->kind == RING_KIND_DEVICE;
}

uint32_t ring_pinned_only_blocks(const struct ring *ring)
{
	return ring->pinned_only_blocks;
}

size_t ring_block_size(const struct ring *ring)
{
	return ring->block_size;
}

void ring_set_max_pinned(struct ring *ring, uint32_t blocks)
{
	ring->max_pinned = blocks;
}

uint32_t ring_pin_allowance(const struct ring *ring)
{
	uint32_t pinned = ring->pinned_blocks;

	return pinned < ring->max_pinned ? ring->max_pinned - pinned : 0;
}

void ring_count_pinned(struct ring *ring, int change)
{
	ring->pinned_blocks += (uint32_t)change;
}

void ring_count_pinned_only(struct ring *ring, int change)
{
	ring->pinned_only_blocks += (uint32_t)change;
}

bool ring_ask_kernel(const struct ring *ring, struct ring_kernel_report *report)
{
	return ring->type->ask_kernel && ring->type->ask_kernel(ring, report);
}

const char *ring_memory_text(const struct ring *ring)
{
	return ring->text;
}

/* Return the number of restored blocks that no one owns: none, unless restoring has failed. */
static uint32_t ring_unclaimed(const struct ring *ring)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < ring->blocks; i++)
		count += ring->block[i].is_unclaimed;
	return count;
}

void ring_destroy(struct ring *ring)
{
	assert(ring->free_blocks + ring_unclaimed(ring) == ring->blocks);
	ring->type->destroy(ring);
}

/* ---- for the kinds of ring ---- */

static size_t header_bytes(const struct ring *ring)
{
	return (size_t)ring->blocks * FRAME_HEADER_BYTES;
}

static bool ring_create_headers(struct ring *ring)
{
	ring->headers_fd = memfd_create("headers", MFD_CLOEXEC);
	return ring->headers_fd >= 0 &&
	       !REPEAT_INTERRUPTED(ftruncate(ring->headers_fd, (off_t)header_bytes(ring)));
}

/* Map the headers. A child process does not use them. */
static bool ring_map_headers(struct ring *ring)
{
	void *headers;

	if (!ring->is_restored && !ring_create_headers(ring))
		return false;
	headers = mmap(NULL, header_bytes(ring), PROT_READ | PROT_WRITE, MAP_SHARED,
		       ring->headers_fd, 0);
	if (headers == MAP_FAILED)
		return false;
	(void)madvise(headers, header_bytes(ring), MADV_DONTFORK);
	ring->headers = headers;
	return true;
}

bool ring_set_up(struct ring *ring, const struct ring_type *type, size_t block_size,
		 uint32_t blocks, int headers_fd)
{
	ring->headers_fd = headers_fd;
	ring->is_restored = headers_fd >= 0;
	ring->blocks = blocks;
	ring->block = calloc(blocks, sizeof(*ring->block));
	if (!ring->block || !ring_map_headers(ring)) {
		ring_tear_down(ring);
		return false;
	}
	TAILQ_INIT(&ring->free_list);
	ring->type = type;
	ring->block_size = block_size;
	ring->free_blocks = blocks;
	ring->max_pinned = blocks;
	return true;
}

void ring_place_some(struct ring *ring, unsigned char *memory, size_t stride, uint32_t first,
		     uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		ring->block[i].ring = ring;
		ring->block[i].index = i;
		ring->block[i].data = memory + i * stride;
		ring->block[i].header = ring->headers + (size_t)i * FRAME_HEADER_BYTES;
		/* Written here, so that its page is present. */
		if (!ring->is_restored)
			memset(ring->block[i].header, 0, FRAME_HEADER_BYTES);
	}
}

void ring_place_blocks(struct ring *ring, unsigned char *memory, size_t stride)
{
	ring_place_some(ring, memory, stride, 0, ring->blocks);
}

void ring_list_free(struct ring *ring, struct block *block)
{
	TAILQ_INSERT_HEAD(&ring->free_list, block, free_entry);
	block->is_listed = true;
}

void ring_tear_down(struct ring *ring)
{
	if (ring->headers)
		munmap(ring->headers, header_bytes(ring));
	if (ring->headers_fd >= 0)
		close(ring->headers_fd);
	free(ring->block);
	ring->headers_fd = -1;
	ring->headers = NULL;
	ring->block = NULL;
}
