// SPDX-License-Identifier: BSD-2-Clause
/*
 * The blocks of a ring in the state of a handover. A large ring has many blocks, so each of their members is one list of
 * numbers, with an item for each block that is not free.
 */
#include "lib/settings.h"
#include "lib/state.h"
#include "ring/ring_device.h"
#include "ring/ring_memory.h"
#include "ring/ring_type.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* More would not be addressed by 32 bits of blocks of a page, and bounds what a wrong state can allocate. */
#define MAX_BLOCKS (1U << 26)

bool ring_file_has(struct state *state, int fd, uint64_t bytes)
{
	struct stat file;

	if (fd < 0 || fstat(fd, &file) || file.st_size < 0 || (uint64_t)file.st_size < bytes)
		state_fail(state, "the memory of the ring has not its %" PRIu64 " bytes", bytes);
	return !state_failed(state);
}

/* ---- the members of blocks ---- */

struct block_member {
	const char *name;
	uint64_t (*get)(const struct block *block, size_t offset);
	/* Return: false if the value is out of range. */
	bool (*set)(struct block *block, size_t offset, uint64_t value);
	size_t offset; /* in struct block */
};

static uint64_t block_get_length(const struct block *block, size_t offset)
{
	(void)offset;
	return block->length;
}

static bool block_set_length(struct block *block, size_t offset, uint64_t value)
{
	(void)offset;
	block->length = (uint32_t)value;
	return value <= block->ring->block_size;
}

static uint64_t block_get_next(const struct block *block, size_t offset)
{
	(void)offset;
	return block->next ? block->next->index : RING_NO_BLOCK;
}

/* The next block may have been recycled; then nothing follows the link any more. */
static bool block_set_next(struct block *block, size_t offset, uint64_t value)
{
	struct block *next = ring_find_taken(block->ring, value);

	(void)offset;
	block->next = next && next->sequence == block->sequence + 1 ? next : NULL;
	return value == RING_NO_BLOCK || value < block->ring->blocks;
}

static uint64_t block_get_number(const struct block *block, size_t offset)
{
	return *(const uint64_t *)(const void *)((const char *)block + offset);
}

static bool block_set_number(struct block *block, size_t offset, uint64_t value)
{
	*(uint64_t *)(void *)((char *)block + offset) = value;
	return true;
}

#define BLOCK_NUMBER(member)                                                                \
	{                                                                                   \
#member, block_get_number, block_set_number, offsetof(struct block, member) \
	}

/* `next` comes behind `sequence`, which it is compared with. */
static const struct block_member members[] = {
	{ "length", block_get_length, block_set_length, 0 },
	BLOCK_NUMBER(sequence),
	BLOCK_NUMBER(position),
	BLOCK_NUMBER(monotonic_ns),
	BLOCK_NUMBER(captured_ns),
	BLOCK_NUMBER(realtime_ns),
	{ "next", block_get_next, block_set_next, 0 },
};

static void member_transfer(const struct block_member *member, struct ring *ring,
			    struct state *state, uint64_t *number, size_t count)
{
	size_t n = 0;

	if (state_is_saving(state)) {
		for (uint32_t i = 0; i < ring->blocks; i++)
			if (ring->block[i].is_taken)
				number[n++] = member->get(&ring->block[i], member->offset);
	}
	state_numbers(state, member->name, number, count);
	if (state_is_saving(state) || state_failed(state))
		return;
	for (uint32_t i = 0; i < ring->blocks; i++) {
		if (ring->block[i].is_taken &&
		    !member->set(&ring->block[i], member->offset, number[n++]))
			state_fail(state, "%s of block %u is out of range", member->name, i);
	}
}

/* ---- the blocks ---- */

static void ring_save_taken(const struct ring *ring, uint64_t *index)
{
	for (uint32_t i = 0; i < ring->blocks; i++)
		if (ring->block[i].is_taken)
			*index++ = i;
}

/* @index: of the blocks that were not free, in ascending order */
static void ring_restore_taken(struct ring *ring, struct state *state, const uint64_t *index,
			       size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (index[i] >= ring->blocks || (i && index[i] <= index[i - 1])) {
			state_fail(state, "there is no block %" PRIu64 " to follow", index[i]);
			return;
		}
		ring_take_block(ring, (uint32_t)index[i])->is_unclaimed = true;
	}
}

/* The blocks that are not free. */
static void ring_transfer_blocks(struct ring *ring, struct state *state)
{
	uint32_t count = ring->blocks - ring->free_blocks;
	uint64_t *number;

	state_u32(state, "taken", &count);
	if (count > ring->blocks)
		state_fail(state, "%u blocks of %u are taken", count, ring->blocks);
	number = state_failed(state) ? NULL : calloc((size_t)count + 1, sizeof(*number));
	if (!number) {
		state_fail(state, "no memory for %u blocks", count);
		return;
	}
	if (state_is_saving(state))
		ring_save_taken(ring, number);
	state_numbers(state, "index", number, count);
	if (!state_is_saving(state) && !state_failed(state))
		ring_restore_taken(ring, state, number, count);
	for (size_t i = 0; !state_failed(state) && i < sizeof(members) / sizeof(members[0]); i++)
		member_transfer(&members[i], ring, state, number, count);
	free(number);
}

static void ring_transfer_members(struct ring *ring, struct state *state)
{
	int reuse = (int)ring->reuse;

	state_u32(state, "max_pinned", &ring->max_pinned);
	state_u32(state, "following", &ring->following);
	state_choice(state, "reuse", &reuse, RING_LIFO + 1);
	state_string(state, "text", ring->text, sizeof(ring->text));
	ring->reuse = (enum ring_reuse)reuse;
	if (ring->following >= ring->blocks)
		state_fail(state, "following is beyond the ring");
	ring_transfer_blocks(ring, state);
}

/* ---- ring.h ---- */

void ring_save(struct ring *ring, struct state *state)
{
	int kind = (int)ring->type->kind;

	state_enter(state, "ring");
	state_choice(state, "kind", &kind, RING_KINDS);
	state_size(state, "block_size", &ring->block_size);
	state_u32(state, "blocks", &ring->blocks);
	state_descriptor(state, "headers_fd", &ring->headers_fd);
	ring->type->save(ring, state);
	ring_transfer_members(ring, state);
	state_leave(state);
}

static void ring_restore_size(struct state *state, struct ring_restored *restored)
{
	state_size(state, "block_size", &restored->block_size);
	state_u32(state, "blocks", &restored->blocks);
	state_descriptor(state, "headers_fd", &restored->headers_fd);
	if (!restored->blocks || restored->blocks > MAX_BLOCKS || !restored->block_size ||
	    restored->block_size > UINT32_MAX ||
	    restored->block_size > SIZE_MAX / 2 / restored->blocks)
		state_fail(state, "a ring of %u blocks of %zu bytes", restored->blocks,
			   restored->block_size);
	if (!state_failed(state))
		ring_file_has(state, restored->headers_fd,
			      (uint64_t)restored->blocks * FRAME_HEADER_BYTES);
}

static struct ring *ring_restore_kind(struct event_base *base,
				      const struct stream_settings *settings, struct state *state,
				      int kind, const struct ring_restored *restored)
{
	if (state_failed(state)) {
		if (restored->headers_fd >= 0)
			close(restored->headers_fd);
		return NULL;
	}
	return kind == RING_KIND_MEMORY ? ring_memory_restore(base, state, restored)
					: ring_device_restore(base, settings, state, restored);
}

struct ring *ring_restore(struct event_base *base, const struct stream_settings *settings,
			  struct state *state)
{
	struct ring_restored restored = { .headers_fd = -1 };
	struct ring *ring;
	int kind = 0;

	state_enter(state, "ring");
	state_choice(state, "kind", &kind, RING_KINDS);
	if ((kind == RING_KIND_DEVICE) != (settings->device != NULL))
		state_fail(state, "kind: the settings have another one");
	ring_restore_size(state, &restored);
	ring = ring_restore_kind(base, settings, state, kind, &restored);
	if (ring) {
		ring_transfer_members(ring, state);
		ring->type->restored(ring);
	}
	state_leave(state);
	if (ring && state_failed(state)) {
		ring_destroy(ring);
		return NULL;
	}
	return ring;
}

struct block *ring_find_taken(struct ring *ring, uint64_t index)
{
	if (!ring || index >= ring->blocks || !ring->block[index].is_taken)
		return NULL;
	return &ring->block[index];
}

void ring_transfer_block(struct ring *ring, struct state *state, const char *name,
			 struct block **block)
{
	uint32_t index = *block ? (*block)->index : RING_NO_BLOCK;

	assert(!*block || !state_is_saving(state) || (*block)->ring == ring);
	state_u32(state, name, &index);
	if (state_is_saving(state) || state_failed(state))
		return;
	*block = ring_find_taken(ring, index);
	if (!*block && index != RING_NO_BLOCK)
		state_fail(state, "%s: block %u is not in use", name, index);
}

bool ring_claim(struct ring *ring, struct block *block)
{
	assert(block->ring == ring);
	if (!block->is_unclaimed)
		return false;
	block->is_unclaimed = false;
	return true;
}

bool ring_check_restored(struct ring *ring, struct state *state)
{
	for (uint32_t i = 0; ring && i < ring->blocks; i++)
		if (ring->block[i].is_unclaimed)
			state_fail(state, "block %u of the ring has no owner", i);
	return !state_failed(state);
}
