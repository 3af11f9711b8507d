// SPDX-License-Identifier: BSD-2-Clause
/*
 * The memory is a memfd and not anonymous, so that it can be handed to another process.
 */
#include "ring_memory.h"

#include "log.h"
#include "ring_type.h"
#include "units.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POISON_BYTE 0xdb

struct memory_ring {
	struct ring ring;
	unsigned char *memory;
	size_t mapped;
};

static void memory_give_back(struct ring *ring, struct block *block)
{
#ifdef DMACAST_POISON
	/* A block that comes back too early is seen by whoever still reads it. */
	memset(block->data, POISON_BYTE, ring->block_size);
#endif
	ring_list_free(ring, block);
}

static void memory_destroy(struct ring *ring)
{
	struct memory_ring *memory_ring = (struct memory_ring *)ring;

	munmap(memory_ring->memory, memory_ring->mapped);
	ring_tear_down(ring);
	free(memory_ring);
}

static const struct ring_type memory_type = {
	.give_back = memory_give_back,
	.destroy = memory_destroy,
};

static size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) / unit * unit;
}

/* A line "name: N kB" of a /proc file; 0 when there is none. */
static uint64_t proc_kilobytes(FILE *file, const char *name)
{
	char line[256], format[64];
	uint64_t kilobytes;

	snprintf(format, sizeof(format), "%s: %%" SCNu64 " kB", name);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, format, &kilobytes) == 1)
			return kilobytes;
	}
	return 0;
}

/* A figure of /proc/meminfo in bytes; 0 when it is not there. */
static uint64_t meminfo_bytes(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "re");
	uint64_t kilobytes = 0;

	if (file) {
		kilobytes = proc_kilobytes(file, name);
		fclose(file);
	}
	return kilobytes * 1024;
}

/* How much of the mapping at @memory the kernel really gave as transparent huge pages, in bytes. */
static size_t transparent_huge_bytes(const void *memory)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	char line[256];
	uint64_t kilobytes = 0;

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		uintptr_t start, end;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2 &&
		    start == (uintptr_t)memory) {
			kilobytes = proc_kilobytes(file, "ShmemPmdMapped");
			break;
		}
	}
	fclose(file);
	return (size_t)kilobytes * 1024;
}

/* Have every page now, so that a lack of memory shows here and not as SIGBUS later. */
static bool populate(int fd, void *memory, size_t size)
{
	if (madvise(memory, size, MADV_POPULATE_WRITE) == 0)
		return true;
	/* Linux before 5.14 */
	return errno == EINVAL && fallocate(fd, 0, 0, (off_t)size) == 0;
}

/* Map @size bytes of @fd, which is closed. Return: false with errno set. */
static bool map_fd(struct memory_ring *ring, int fd, size_t size, bool transparent)
{
	void *memory = MAP_FAILED;
	bool mapped = false;
	int saved_errno;

	if (ftruncate(fd, (off_t)size) == 0)
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED) {
		if (transparent)
			madvise(memory, size, MADV_HUGEPAGE); /* looked at later, in smaps */
		mapped = populate(fd, memory, size);
	}
	saved_errno = errno;
	close(fd);
	if (mapped) {
		ring->memory = memory;
		ring->mapped = size;
	} else if (memory != MAP_FAILED) {
		munmap(memory, size);
	}
	errno = saved_errno;
	return mapped;
}

static bool map_memfd(struct memory_ring *ring, const char *name, size_t size, unsigned int flags,
		      bool transparent)
{
	int fd = memfd_create(name, MFD_CLOEXEC | flags);

	return fd >= 0 && map_fd(ring, fd, size, transparent);
}

static bool map_huge(struct memory_ring *ring, const char *name, size_t size)
{
	size_t huge = (size_t)meminfo_bytes("Hugepagesize");
	char text[UNITS_TEXT];

	if (!huge) {
		errno = EOPNOTSUPP;
		return false;
	}
	if (!map_memfd(ring, name, round_up(size, huge), MFD_HUGETLB, false))
		return false;
	snprintf(ring->ring.text, sizeof(ring->ring.text), "memfd, %s pages",
		 units_format_about(huge, text));
	return true;
}

static bool map_small(struct memory_ring *ring, const char *name, size_t size, bool transparent)
{
	char text[UNITS_TEXT], share[UNITS_TEXT];
	size_t huge = 0;

	if (!map_memfd(ring, name, size, 0, transparent))
		return false;
	if (transparent)
		huge = transparent_huge_bytes(ring->memory);
	units_format_about((uint64_t)sysconf(_SC_PAGESIZE), text);
	if (huge)
		snprintf(ring->ring.text, sizeof(ring->ring.text),
			 "memfd, %s pages, %s of it in transparent huge pages", text,
			 units_format_about(huge, share));
	else
		snprintf(ring->ring.text, sizeof(ring->ring.text), "memfd, %s pages", text);
	return true;
}

static bool map_ring(struct memory_ring *ring, const char *name, enum huge_pages huge_pages)
{
	uint64_t bytes = (uint64_t)ring->ring.block_size * ring->ring.blocks;
	size_t size = (size_t)bytes;
	bool is_addressable = bytes <= SIZE_MAX;
	char text[UNITS_TEXT];

	errno = ENOMEM;
	if (is_addressable && huge_pages != HUGE_PAGES_NEVER && map_huge(ring, name, size))
		return true;
	if (huge_pages == HUGE_PAGES_REQUIRE) {
		log_error("stream %s: huge-pages = require: no %s of huge pages: %s; raise "
			  "vm.nr_hugepages or use huge-pages = auto",
			  name, units_format_about(bytes, text), strerror(errno));
		return false;
	}
	/* Asking for more than there is would not fail but wake the OOM killer. */
	if (!is_addressable || size > meminfo_bytes("MemAvailable"))
		errno = ENOMEM;
	else if (map_small(ring, name, size, huge_pages == HUGE_PAGES_AUTO))
		return true;
	log_error("stream %s: no %s of memory for the ring: %s; lower ring-size", name,
		  units_format_about(bytes, text), strerror(errno));
	return false;
}

struct ring *ring_memory_create(const char *name, size_t block_size, uint32_t blocks,
				enum huge_pages huge_pages)
{
	struct memory_ring *memory_ring = calloc(1, sizeof(*memory_ring));
	struct ring *ring = (struct ring *)memory_ring;

	if (!ring || !ring_set_up(ring, &memory_type, block_size, blocks)) {
		log_error("stream %s: no memory for the ring; lower ring-size", name);
		free(memory_ring);
		return NULL;
	}
	if (!map_ring(memory_ring, name, huge_pages)) {
		ring_tear_down(ring);
		free(memory_ring);
		return NULL;
	}
	ring_place_blocks(ring, memory_ring->memory, block_size);
	for (uint32_t i = 0; i < blocks; i++)
		ring_list_free(ring, &ring->block[i]);
	return ring;
}
