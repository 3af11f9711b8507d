// SPDX-License-Identifier: BSD-2-Clause
#include "lib/memory_reserve.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* What a connection takes are about 10 chunks. */
#define CHUNKS 128
#define CHUNK_BYTES 1024

/* Each chunk is a block of malloc(), so that free() and realloc() take it as any other. */
static struct {
	void *chunk[CHUNKS];
	size_t count;
	size_t wanted; /* CHUNKS while the reserve is open */
} reserve;

static bool reserve_fill(void)
{
	while (reserve.count < reserve.wanted) {
		void *chunk = malloc(CHUNK_BYTES);

		if (!chunk)
			return false;
		reserve.chunk[reserve.count++] = chunk;
	}
	return true;
}

static void *reserve_take(size_t size)
{
	return size <= CHUNK_BYTES && reserve.count ? reserve.chunk[--reserve.count] : NULL;
}

bool memory_reserve_open(void)
{
	reserve.wanted = CHUNKS;
	return reserve_fill();
}

void memory_reserve_close(void)
{
	reserve.wanted = 0;
	while (reserve.count)
		free(reserve.chunk[--reserve.count]);
}

void *memory_reserve_malloc(size_t size)
{
	void *memory = malloc(size);

	if (!memory)
		return reserve_take(size);
	reserve_fill();
	return memory;
}

void *memory_reserve_realloc(void *old, size_t size)
{
	void *memory = size ? realloc(old, size) : NULL;
	size_t kept;

	if (memory)
		return memory;
	memory = reserve_take(size);
	if (!memory || !old)
		return memory;
	kept = malloc_usable_size(old);
	memcpy(memory, old, kept < size ? kept : size);
	free(old);
	return memory;
}
