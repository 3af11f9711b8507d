// SPDX-License-Identifier: BSD-2-Clause
#include "ring/aligned_mapping.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

bool aligned_mapping_create(struct aligned_mapping *mapping, int fd, size_t size, size_t alignment)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	size_t bytes = size + alignment;
	unsigned char *start, *memory;
	int error;

	errno = ENOMEM;
	if (bytes < size)
		return false;
	start = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return false;
	memory = start + (alignment - (uintptr_t)start % alignment) % alignment;
	if (mmap(memory, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED) {
		error = errno;
		munmap(start, bytes);
		errno = error;
		return false;
	}
	*mapping = (struct aligned_mapping){ .memory = memory, .start = start, .bytes = bytes };
	return true;
}
