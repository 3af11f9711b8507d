/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory at a multiple of the size of a huge page, which huge pages need. */
#ifndef DMACAST_ALIGNED_MAPPING_H
#define DMACAST_ALIGNED_MAPPING_H

#include <stdbool.h>
#include <stddef.h>

/* What is around the memory has no access, and keeps it apart from other mappings. */
struct aligned_mapping {
	unsigned char *memory;
	void *start;  /* of the whole mapping, for munmap() */
	size_t bytes; /* of the whole mapping */
};

/**
 * aligned_mapping_create() - map memory, to read and write. Makes system calls only.
 * @fd: shared, from its beginning; -1: private anonymous memory
 * @size: bytes of the memory
 * @alignment: bytes, a power of two
 *
 * Return: false with errno set.
 */
bool aligned_mapping_create(struct aligned_mapping *mapping, int fd, size_t size, size_t alignment);

#endif
