// SPDX-License-Identifier: BSD-2-Clause
/*
 * The memory is a memfd, which could be handed to another process, unless it can have transparent
 * huge pages: most systems give those to anonymous memory only (shmem_enabled is "never"), and with
 * them zero-copy takes up to a fifth less CPU time (bench/RESULTS.md). No other process gets it yet.
 *
 *     reserved huge pages ─ none free ─▶ transparent ones ─ none given ─▶ small pages
 *     (memfd)                            (anonymous)                      (memfd)
 */
#include "ring/ring_memory.h"

#include "lib/read_proc_integer.h"
#include "lib/log.h"
#include "lib/memory_limit.h"
#include "lib/units.h"
#include "ring/ring_type.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POISON_BYTE 0xdb

/* What a ring takes besides its bytes, such as page tables: a 128th, and bytes for all else that may come. */
#define OVERHEAD_DIVISOR 128
#define OVERHEAD_BYTES ((uint64_t)1 << 20)

struct memory_ring {
	struct ring ring;
	unsigned char *memory;
	void *mapping; /* it and what is around it */
	size_t mapped;
};

static void memory_give_back(struct ring *ring, struct block *block)
{
#ifdef DMACAST_POISON
	/* Show a block that comes back too early at whatever still reads it. */
	memset(block->data, POISON_BYTE, ring->block_size);
#endif
	ring_list_free(ring, block);
}

static void memory_destroy(struct ring *ring)
{
	struct memory_ring *memory_ring = (struct memory_ring *)ring;

	munmap(memory_ring->mapping, memory_ring->mapped);
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
			kilobytes = proc_kilobytes(file, "AnonHugePages");
			break;
		}
	}
	fclose(file);
	return (size_t)kilobytes * 1024;
}

/* The size of a transparent huge page in bytes; 0 when this kernel has none. */
static size_t transparent_huge_size(void)
{
	int64_t size = read_proc_integer("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");

	return size > 0 ? (size_t)size : 0;
}

/* Allocate every page now, so that a lack of memory shows here and not as SIGBUS later. */
static bool populate_memfd(int fd, void *memory, size_t size)
{
	if (madvise(memory, size, MADV_POPULATE_WRITE) == 0)
		return true;
	/* Linux before 5.14 */
	return errno == EINVAL && fallocate(fd, 0, 0, (off_t)size) == 0;
}

static bool populate_anonymous(unsigned char *memory, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (madvise(memory, size, MADV_POPULATE_WRITE) == 0)
		return true;
	if (errno != EINVAL)
		return false;
	/* Linux before 5.14 */
	for (size_t at = 0; at < size; at += page)
		*(volatile unsigned char *)(memory + at) = 0;
	return true;
}

/*
 * Map @size bytes of @fd, which is closed. @small: of ordinary pages, whatever the system does for
 * shared memory. Return: false with errno set.
 */
static bool map_fd(struct memory_ring *ring, int fd, size_t size, bool small)
{
	void *memory = MAP_FAILED;
	bool mapped = false;
	int saved_errno;

	if (ftruncate(fd, (off_t)size) == 0)
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* Fails where the kernel has no huge pages. */
	if (memory != MAP_FAILED && small)
		(void)madvise(memory, size, MADV_NOHUGEPAGE);
	if (memory != MAP_FAILED)
		mapped = populate_memfd(fd, memory, size);
	saved_errno = errno;
	close(fd);
	if (mapped) {
		ring->memory = ring->mapping = memory;
		ring->mapped = size;
	} else if (memory != MAP_FAILED) {
		munmap(memory, size);
	}
	errno = saved_errno;
	return mapped;
}

static bool map_memfd(struct memory_ring *ring, const char *name, size_t size, unsigned int flags)
{
	int fd = memfd_create(name, MFD_CLOEXEC | flags);

	return fd >= 0 && map_fd(ring, fd, size, !(flags & MFD_HUGETLB));
}

static bool map_reserved(struct memory_ring *ring, const char *name, size_t size)
{
	size_t huge = (size_t)meminfo_bytes("Hugepagesize");
	char text[UNITS_TEXT];

	if (!huge) {
		errno = EOPNOTSUPP;
		return false;
	}
	if (!map_memfd(ring, name, round_up(size, huge), MFD_HUGETLB))
		return false;
	snprintf(ring->ring.text, sizeof(ring->ring.text), "memfd, %s pages",
		 units_format_about(huge, text));
	return true;
}

/*
 * Populate @size bytes at @memory if its first page is a huge one; the others may be small when the
 * memory is in pieces. Return: how much is huge; 0: not populated, or there is not enough memory.
 */
static size_t populate_transparent(unsigned char *memory, size_t size, size_t huge)
{
	if (mprotect(memory, size, PROT_READ | PROT_WRITE) ||
	    madvise(memory, size, MADV_HUGEPAGE) || !populate_anonymous(memory, huge) ||
	    !transparent_huge_bytes(memory) || !populate_anonymous(memory + huge, size - huge))
		return 0;
	return transparent_huge_bytes(memory);
}

/*
 * Transparent huge pages want an address that is a multiple of theirs. What is left of the mapping
 * behind the ring stays there without access, and keeps the mappings of two rings apart in smaps.
 */
static bool map_transparent(struct memory_ring *ring, size_t size)
{
	size_t huge = transparent_huge_size(), mapped = size + huge, given;
	char text[UNITS_TEXT], share[UNITS_TEXT];
	unsigned char *mapping;

	if (!huge || size < huge || mapped < size)
		return false;
	mapping = mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapping == MAP_FAILED)
		return false;
	ring->memory = mapping + (round_up((uintptr_t)mapping, huge) - (uintptr_t)mapping);
	given = populate_transparent(ring->memory, size, huge);
	if (!given) {
		munmap(mapping, mapped);
		return false;
	}
	ring->mapping = mapping;
	ring->mapped = mapped;
	snprintf(ring->ring.text, sizeof(ring->ring.text),
		 "anonymous, %s pages, %s of it in transparent huge pages",
		 units_format_about((uint64_t)sysconf(_SC_PAGESIZE), text),
		 units_format_about(given, share));
	return true;
}

static bool map_small(struct memory_ring *ring, const char *name, size_t size)
{
	char text[UNITS_TEXT];

	if (!map_memfd(ring, name, size, 0))
		return false;
	snprintf(ring->ring.text, sizeof(ring->ring.text), "memfd, %s pages",
		 units_format_about((uint64_t)sysconf(_SC_PAGESIZE), text));
	return true;
}

/*
 * Return true if there is memory for a ring of @bytes. Populating more than there is would not fail:
 * neither MADV_POPULATE_WRITE nor fallocate() returns, since the OOM killer ends the process.
 */
static bool is_available(const char *name, uint64_t bytes)
{
	char need[UNITS_TEXT], available[UNITS_TEXT], most[UNITS_TEXT];
	struct memory_limit limit;

	memory_limit_find(&limit, NULL, "/sys/fs/cgroup");
	if (bytes + bytes / OVERHEAD_DIVISOR + OVERHEAD_BYTES <= limit.available)
		return true;
	units_format_about(bytes, need);
	units_format_about(limit.available, available);
	if (limit.limit)
		log_error("stream %s: no memory for the ring: needs %s, limit %s, of which %s are "
			  "left (%s); raise it (MemoryMax=, MemoryHigh=) or lower ring-size",
			  name, need, units_format_about(limit.limit, most), available, limit.file);
	else
		log_error("stream %s: no memory for the ring: needs %s, limit %s (MemAvailable); "
			  "lower ring-size",
			  name, need, available);
	return false;
}

static bool map_ring(struct memory_ring *ring, const char *name, enum huge_pages huge_pages)
{
	uint64_t bytes = (uint64_t)ring->ring.block_size * ring->ring.blocks;
	size_t size = (size_t)bytes;
	bool is_addressable = bytes <= SIZE_MAX;
	char text[UNITS_TEXT];

	errno = ENOMEM;
	if (is_addressable && huge_pages != HUGE_PAGES_NEVER && map_reserved(ring, name, size))
		return true;
	if (huge_pages == HUGE_PAGES_REQUIRE) {
		log_error("stream %s: huge-pages = require: no %s of huge pages: %s; raise "
			  "vm.nr_hugepages or use huge-pages = auto",
			  name, units_format_about(bytes, text), strerror(errno));
		return false;
	}
	if (!is_available(name, bytes))
		return false;
	errno = ENOMEM;
	if (is_addressable && ((huge_pages == HUGE_PAGES_AUTO && map_transparent(ring, size)) ||
			       map_small(ring, name, size)))
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
	/* In reverse, since the list begins with the newest. */
	for (uint32_t i = blocks; i-- > 0;)
		ring_list_free(ring, &ring->block[i]);
	return ring;
}
