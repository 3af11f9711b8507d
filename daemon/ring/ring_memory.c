// SPDX-License-Identifier: BSD-2-Clause
/*
 * The memory is a memfd, which a successor maps again: ring_save() hands it over. With huge pages zero-copy takes up
 * to a fifth less CPU time (bench/RESULTS.md). Most systems give transparent ones to anonymous memory only
 * (shmem_enabled is "never"), but Linux 6.1 and later makes them of shared memory on demand (MADV_COLLAPSE). Anonymous
 * memory, which no successor can have, is only for kernels that do not.
 *
 *     reserved huge pages ─ none free ─▶ transparent ones ─▶ transparent ones ─▶ small pages
 *     (memfd)                            (memfd)             (anonymous)         (memfd)
 *
 * The kernel clears each page, and gigabytes take seconds. A ring is made, and given back, in slices.
 */
#include "ring/ring_memory.h"

#include "lib/clock.h"
#include "lib/interrupted.h"
#include "lib/log.h"
#include "lib/memory_limit.h"
#include "lib/read_proc_integer.h"
#include "lib/state.h"
#include "lib/units.h"
#include "ring/aligned_mapping.h"
#include "ring/collapse.h"
#include "ring/ring_type.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* What a ring takes besides its bytes, such as page tables: a 128th, and bytes for all else that may come. */
#define OVERHEAD_DIVISOR 128
#define OVERHEAD_BYTES ((uint64_t)1 << 20)

/* Bytes of small pages in one slice. */
#define SMALL_SLICE ((size_t)256 << 10)
/* Blocks that are set up in one slice. */
#define BLOCK_SLICE 4096U
/* Bytes of a ring between two checks whether there is memory for the rest. */
#define CHECK_BYTES ((size_t)16 << 20)

/* Bytes up to which a ring is given back at once. Bytes given back in one slice. */
#define RELEASE_AT_ONCE ((size_t)16 << 20)
#define RELEASE_SLICE ((size_t)2 << 20)

#define SHMEM_ENABLED "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

struct memory_ring {
	struct ring ring;
	unsigned char *memory;
	size_t size;   /* of `memory` in bytes */
	void *mapping; /* it and what is around it */
	size_t mapped;
	int fd;		      /* of the memfd; -1: `memory` is anonymous */
	bool is_transparent;  /* has transparent huge pages */
	size_t page;	      /* bytes of a page of `memory`, or of what is populated at a time */
	int release_advice;   /* of madvise(), to give back a part of `memory` */
	struct event release; /* next slice that is given back */
	struct event_base *base;
	LIST_ENTRY(memory_ring) entry; /* of `released` */
};

/* Rings whose memory is being given back. */
static LIST_HEAD(, memory_ring) released = LIST_HEAD_INITIALIZER(released);

enum maker_stage {
	MAKER_RESERVED,
	MAKER_SHARED,	 /* transparent huge pages in a memfd */
	MAKER_ANONYMOUS, /* transparent huge pages in anonymous memory */
	MAKER_SMALL,
	MAKER_BLOCKS, /* the memory is complete */
	MAKER_READY,
	MAKER_FAILED,
};

struct ring_maker {
	struct memory_ring *ring;
	char *name; /* of the stream */
	enum huge_pages huge_pages;
	enum maker_stage stage;
	size_t populated;	  /* bytes */
	size_t checked;		  /* value of `populated` at the last check */
	size_t transparent;	  /* bytes in transparent huge pages */
	struct collapse collapse; /* makes the huge pages of MAKER_SHARED */
	bool collapsed;		  /* it has ended, or was not needed */
	uint32_t blocks;	  /* still to be set up */
};

/* ---- giving back ---- */

static void memory_unmap(struct memory_ring *ring)
{
	if (ring->mapping)
		munmap(ring->mapping, ring->mapped);
	if (ring->fd >= 0)
		close(ring->fd);
	free(ring);
}

static void memory_release_slice(evutil_socket_t fd, short what, void *argument)
{
	static const struct timeval at_once;
	struct memory_ring *ring = argument;
	uint64_t end = clock_monotonic_ns() + RING_SLICE_NS;
	size_t slice = ring->page > RELEASE_SLICE ? ring->page : RELEASE_SLICE;
	bool sliced = true;

	(void)fd;
	(void)what;
	while (ring->size && sliced && clock_monotonic_ns() < end) {
		size_t at = (ring->size - 1) / slice * slice;

		sliced = !madvise(ring->memory + at, ring->size - at, ring->release_advice);
		ring->size = at;
	}
	/* The rest at once if it cannot be done in slices. */
	if (ring->size && sliced && !evtimer_add(&ring->release, &at_once))
		return;
	LIST_REMOVE(ring, entry);
	memory_unmap(ring);
}

/* Free the memory, in slices if there is an event loop. */
static void memory_release(struct memory_ring *ring)
{
	ring_tear_down(&ring->ring);
	if (!ring->base || ring->size <= RELEASE_AT_ONCE) {
		memory_unmap(ring);
		return;
	}
	evtimer_assign(&ring->release, ring->base, memory_release_slice, ring);
	LIST_INSERT_HEAD(&released, ring, entry);
	memory_release_slice(-1, EV_TIMEOUT, ring);
}

void ring_memory_forget(const struct event_base *base)
{
	struct memory_ring *ring, *next;

	LIST_FOREACH_SAFE (ring, &released, entry, next) {
		if (ring->base != base)
			continue;
		event_del(&ring->release);
		LIST_REMOVE(ring, entry);
		if (ring->fd >= 0)
			close(ring->fd);
		free(ring);
	}
}

static void memory_give_back(struct ring *ring, struct block *block)
{
#ifdef DMACAST_POISON
	/* Show a block that comes back too early at whatever still reads it. */
	memset(block->data, RING_POISON_BYTE, ring->block_size);
#endif
	ring_list_free(ring, block);
}

static void memory_destroy(struct ring *ring)
{
	memory_release((struct memory_ring *)ring);
}

static void memory_save(struct ring *ring, struct state *state)
{
	struct memory_ring *memory = (struct memory_ring *)ring;

	if (memory->fd < 0)
		state_fail(state,
			   "the ring is in anonymous memory, which no other process can map; "
			   "write advise to " SHMEM_ENABLED " or use huge-pages = never");
	state_descriptor(state, "fd", &memory->fd);
	state_size(state, "size", &memory->size);
	state_size(state, "page", &memory->page);
	state_bool(state, "is_transparent", &memory->is_transparent);
}

/* The list of free blocks is in the order of their memory, as at first. */
static void memory_restored(struct ring *ring)
{
	for (uint32_t i = ring->blocks; i-- > 0;)
		if (!ring->block[i].is_taken)
			ring_list_free(ring, &ring->block[i]);
}

static const struct ring_type memory_type = {
	.kind = RING_KIND_MEMORY,
	.save = memory_save,
	.restored = memory_restored,
	.give_back = memory_give_back,
	.destroy = memory_destroy,
};

/* ---- the system ---- */

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

/* The size of a transparent huge page in bytes; 0 when this kernel has none. */
static size_t transparent_huge_size(void)
{
	int64_t size = read_proc_integer("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");

	return size > 0 ? (size_t)size : 0;
}

/* Return true if the administrator wants no transparent huge pages. */
static bool transparent_is_off(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char text[128] = "";

	if (file) {
		if (!fgets(text, sizeof(text), file))
			*text = '\0';
		fclose(file);
	}
	return strstr(text, "[never]");
}

/*
 * Return true if there is memory for a ring of @bytes, of which it has @populated. Populating more than
 * there is would not fail: neither MADV_POPULATE_WRITE nor fallocate() returns, since the OOM killer ends
 * the process.
 */
static bool is_available(const char *name, uint64_t bytes, uint64_t populated)
{
	char need[UNITS_TEXT], available[UNITS_TEXT], most[UNITS_TEXT];
	uint64_t rest = bytes - populated;
	struct memory_limit limit;

	memory_limit_find(&limit, NULL, "/sys/fs/cgroup");
	if (rest + rest / OVERHEAD_DIVISOR + OVERHEAD_BYTES <= limit.available)
		return true;
	units_format_about(bytes, need);
	units_format_about(limit.available + populated, available);
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

/* ---- mapping ---- */

static uint64_t maker_bytes(const struct ring_maker *maker)
{
	return (uint64_t)maker->ring->ring.block_size * maker->ring->ring.blocks;
}

/* Unmap the memory of a stage that failed. It is small, or takes its time: this is rare. */
static void maker_unmap(struct ring_maker *maker)
{
	struct memory_ring *ring = maker->ring;
	int saved_errno = errno;

	if (ring->fd >= 0)
		close(ring->fd);
	ring->fd = -1;
	if (ring->mapping)
		munmap(ring->mapping, ring->mapped);
	ring->mapping = NULL;
	ring->size = 0;
	ring->is_transparent = false;
	maker->populated = maker->checked = maker->transparent = 0;
	errno = saved_errno;
}

/* Map @size bytes at a multiple of ring->page. Return: false with errno set. */
static bool memory_ring_map(struct memory_ring *ring, size_t size)
{
	struct aligned_mapping mapping;

	if (!aligned_mapping_create(&mapping, ring->fd, size, ring->page))
		return false;
	ring->mapping = mapping.start;
	ring->mapped = mapping.bytes;
	ring->memory = mapping.memory;
	ring->size = size;
	ring->release_advice = ring->fd < 0 ? MADV_DONTNEED : MADV_REMOVE;
	/* Otherwise ordinary pages, whatever the system prefers. Fails where it has no huge pages, or for reserved ones. */
	(void)madvise(ring->memory, size, ring->is_transparent ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	/* A child process that is made by fork() needs no ring, and must not make its pages copy-on-write. */
	return !madvise(ring->memory, size, MADV_DONTFORK);
}

/* Map a memfd of @size bytes. @page: bytes of a slice. Return: false with errno set. */
static bool map_memfd(struct ring_maker *maker, size_t size, size_t page, unsigned int flags)
{
	struct memory_ring *ring = maker->ring;

	ring->page = page;
	ring->fd = memfd_create(maker->name, MFD_CLOEXEC | flags);
	return ring->fd >= 0 && !REPEAT_INTERRUPTED(ftruncate(ring->fd, (off_t)size)) &&
	       memory_ring_map(ring, size);
}

static bool map_reserved(struct ring_maker *maker, size_t size)
{
	size_t huge = (size_t)meminfo_bytes("Hugepagesize");
	char text[UNITS_TEXT];

	if (!huge) {
		errno = EOPNOTSUPP;
		return false;
	}
	if (!map_memfd(maker, round_up(size, huge), huge, MFD_HUGETLB))
		return false;
	snprintf(maker->ring->ring.text, sizeof(maker->ring->ring.text), "memfd, %s pages",
		 units_format_about(huge, text));
	return true;
}

static bool map_transparent(struct ring_maker *maker, size_t size)
{
	struct memory_ring *ring = maker->ring;
	size_t huge = transparent_huge_size();

	/* MADV_COLLAPSE would not ask. */
	if (!huge || size < huge || transparent_is_off())
		return false;
	ring->is_transparent = true;
	ring->page = huge;
	if (maker->stage == MAKER_SHARED)
		return map_memfd(maker, size, huge, 0);
	return memory_ring_map(ring, size);
}

static bool map_small(struct ring_maker *maker, size_t size)
{
	char text[UNITS_TEXT];

	if (!map_memfd(maker, size, SMALL_SLICE, 0))
		return false;
	snprintf(maker->ring->ring.text, sizeof(maker->ring->ring.text), "memfd, %s pages",
		 units_format_about((uint64_t)sysconf(_SC_PAGESIZE), text));
	return true;
}

static bool maker_map(struct ring_maker *maker)
{
	size_t size = (size_t)maker_bytes(maker);
	bool mapped = false;

	errno = ENOMEM;
	if (maker_bytes(maker) > SIZE_MAX)
		return false;
	if (maker->stage == MAKER_RESERVED)
		mapped = maker->huge_pages != HUGE_PAGES_NEVER && map_reserved(maker, size);
	else if (maker->stage == MAKER_SHARED || maker->stage == MAKER_ANONYMOUS)
		mapped = maker->huge_pages == HUGE_PAGES_AUTO && map_transparent(maker, size);
	else
		mapped = map_small(maker, size);
	if (!mapped)
		maker_unmap(maker);
	return mapped;
}

static enum ring_progress maker_fail(struct ring_maker *maker)
{
	maker->stage = MAKER_FAILED;
	return RING_FAILED;
}

/* The kind of memory of this stage cannot be had: map that of the next one. */
static enum ring_progress maker_fall_back(struct ring_maker *maker)
{
	char text[UNITS_TEXT];

	maker_unmap(maker);
	while (maker->stage < MAKER_SMALL) {
		if (maker->stage == MAKER_RESERVED && maker->huge_pages == HUGE_PAGES_REQUIRE) {
			log_error("stream %s: huge-pages = require: no %s of huge pages: %s; raise "
				  "vm.nr_hugepages or use huge-pages = auto",
				  maker->name, units_format_about(maker_bytes(maker), text),
				  strerror(errno));
			return maker_fail(maker);
		}
		if (maker->stage == MAKER_RESERVED &&
		    !is_available(maker->name, maker_bytes(maker), 0))
			return maker_fail(maker);
		maker->stage++;
		if (maker_map(maker))
			return RING_MORE;
	}
	log_error("stream %s: no %s of memory for the ring: %s; lower ring-size", maker->name,
		  units_format_about(maker_bytes(maker), text), strerror(errno));
	return maker_fail(maker);
}

/* ---- populating ---- */

/* Allocate pages now, so that a lack of memory shows here and not as SIGBUS later. */
static bool maker_populate(const struct ring_maker *maker, size_t size)
{
	unsigned char *memory = maker->ring->memory + maker->populated;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (madvise(memory, size, MADV_POPULATE_WRITE) == 0)
		return true;
	if (errno != EINVAL)
		return false;
	/* Linux before 5.14 */
	if (maker->ring->fd >= 0)
		return REPEAT_INTERRUPTED(fallocate(maker->ring->fd, 0, (off_t)maker->populated,
						    (off_t)size)) == 0;
	for (size_t at = 0; at < size; at += page)
		*(volatile unsigned char *)(memory + at) = 0;
	return true;
}

/* Return false if memory has become too short for the rest since the last check. @populated: bytes */
static bool maker_check_memory(struct ring_maker *maker, size_t populated)
{
	if (maker->stage == MAKER_RESERVED || populated < maker->checked + CHECK_BYTES)
		return true;
	maker->checked = populated;
	return is_available(maker->name, maker_bytes(maker), populated);
}

/* Begin to make the huge pages of shared memory, or find out how far that is. */
static enum ring_progress maker_step_collapse(struct ring_maker *maker)
{
	struct memory_ring *ring = maker->ring;

	if (!maker->collapse.child &&
	    !collapse_start(&maker->collapse, ring->fd, ring->size, ring->page)) {
		maker->collapsed = true; /* small pages can be handed over, too */
		return RING_MORE;
	}
	switch (collapse_poll(&maker->collapse)) {
	case COLLAPSE_REFUSED:
		return maker_fall_back(maker);
	case COLLAPSE_DONE:
		maker->collapsed = true;
		return RING_MORE;
	default:
		return maker_check_memory(maker, maker->collapse.populated) ? RING_WAITING
									    : maker_fail(maker);
	}
}

/* Return the number of pages that this process got until now. */
static long page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* Describe the memory when it is complete. */
static void maker_complete_memory(struct ring_maker *maker)
{
	char text[UNITS_TEXT], share[UNITS_TEXT];

	if (maker->ring->is_transparent)
		snprintf(maker->ring->ring.text, sizeof(maker->ring->ring.text),
			 "%s, %s pages, %s of it in transparent huge pages",
			 maker->stage == MAKER_SHARED ? "memfd" : "anonymous",
			 units_format_about((uint64_t)sysconf(_SC_PAGESIZE), text),
			 units_format_about(maker->transparent, share));
	if (maker->stage == MAKER_ANONYMOUS)
		log_warning(
			"stream %s: the kernel makes no huge pages of shared memory, so a restart "
			"cannot keep the ring and its clients; write advise to " SHMEM_ENABLED
			" or use huge-pages = never",
			maker->name);
	maker->blocks = maker->ring->ring.blocks;
	maker->stage = MAKER_BLOCKS;
}

static enum ring_progress maker_step_memory(struct ring_maker *maker)
{
	size_t size = maker->ring->size - maker->populated;
	long faults = page_faults();

	if (maker->stage == MAKER_SHARED && !maker->collapsed)
		return maker_step_collapse(maker);
	if (!maker_check_memory(maker, maker->populated))
		return maker_fail(maker);
	if (size > maker->ring->page)
		size = maker->ring->page;
	if (!maker_populate(maker, size))
		return maker_fall_back(maker);
	/* A huge page is one fault, or else each of the small ones is. */
	if (maker->ring->is_transparent && page_faults() - faults <= 1)
		maker->transparent += size;
	/* If the first one is not huge, none is; others may be small when the memory is in pieces. */
	if (maker->stage == MAKER_ANONYMOUS && !maker->transparent)
		return maker_fall_back(maker);
	maker->populated += size;
	if (maker->populated == maker->ring->size)
		maker_complete_memory(maker);
	return RING_MORE;
}

static enum ring_progress maker_step_blocks(struct ring_maker *maker)
{
	struct ring *ring = &maker->ring->ring;
	uint32_t count = maker->blocks < BLOCK_SLICE ? maker->blocks : BLOCK_SLICE;

	maker->blocks -= count;
	ring_place_some(ring, maker->ring->memory, ring->block_size, maker->blocks, count);
	/* In reverse, since the list begins with the newest. */
	for (uint32_t i = count; i-- > 0;)
		ring_list_free(ring, &ring->block[maker->blocks + i]);
	if (maker->blocks)
		return RING_MORE;
	maker->stage = MAKER_READY;
	return RING_READY;
}

enum ring_progress ring_maker_step(struct ring_maker *maker)
{
	if (maker->stage == MAKER_READY)
		return RING_READY;
	if (maker->stage == MAKER_FAILED)
		return RING_FAILED;
	if (maker->stage == MAKER_BLOCKS)
		return maker_step_blocks(maker);
	if (!maker->ring->mapping && !maker_map(maker))
		return maker_fall_back(maker);
	return maker_step_memory(maker);
}

/* ---- makers ---- */

static void maker_free(struct ring_maker *maker)
{
	collapse_cancel(&maker->collapse);
	free(maker->name);
	free(maker);
}

struct ring_maker *ring_maker_start(struct event_base *base, const char *name, size_t block_size,
				    uint32_t blocks, enum huge_pages huge_pages)
{
	struct ring_maker *maker = calloc(1, sizeof(*maker));
	struct memory_ring *ring = calloc(1, sizeof(*ring));

	if (!maker || !ring || !(maker->name = strdup(name)) ||
	    !ring_set_up(&ring->ring, &memory_type, block_size, blocks, -1)) {
		log_error("stream %s: no memory for the ring; lower ring-size", name);
		if (maker)
			free(maker->name);
		free(maker);
		free(ring);
		return NULL;
	}
	ring->base = base;
	maker->ring = ring;
	maker->huge_pages = huge_pages;
	collapse_init(&maker->collapse);
	ring->fd = -1;
	return maker;
}

struct ring *ring_maker_take(struct ring_maker *maker)
{
	struct ring *ring = &maker->ring->ring;

	maker_free(maker);
	return ring;
}

void ring_maker_cancel(struct ring_maker *maker)
{
	memory_release(maker->ring);
	maker_free(maker);
}

struct ring *ring_memory_create(const char *name, size_t block_size, uint32_t blocks,
				enum huge_pages huge_pages)
{
	struct ring_maker *maker = ring_maker_start(NULL, name, block_size, blocks, huge_pages);
	enum ring_progress progress = RING_MORE;

	if (!maker)
		return NULL;
	while (progress == RING_MORE || progress == RING_WAITING) {
		progress = ring_maker_step(maker);
		if (progress == RING_WAITING)
			collapse_wait(&maker->collapse);
	}
	if (progress == RING_READY)
		return ring_maker_take(maker);
	ring_maker_cancel(maker);
	return NULL;
}

/* ---- handover ---- */

/* Return false after a failure of the state. */
static bool memory_check_restored(const struct memory_ring *ring, struct state *state, size_t size)
{
	uint64_t bytes = (uint64_t)ring->ring.block_size * ring->ring.blocks;

	if (size < bytes || size > SIZE_MAX / 2)
		state_fail(state, "size: %zu bytes for %" PRIu64, size, bytes);
	if (!ring->page || (ring->page & (ring->page - 1)) || ring->page > SIZE_MAX / 4)
		state_fail(state, "page: %zu bytes; expected a power of two", ring->page);
	return !state_failed(state) && ring_file_has(state, ring->fd, size);
}

/* The pages stay as they are: huge ones are mapped as such when they are accessed. */
static void memory_restore(struct memory_ring *ring, struct state *state)
{
	size_t size = 0;

	state_descriptor(state, "fd", &ring->fd);
	state_size(state, "size", &size);
	state_size(state, "page", &ring->page);
	state_bool(state, "is_transparent", &ring->is_transparent);
	if (!memory_check_restored(ring, state, size))
		return;
	if (!memory_ring_map(ring, size))
		state_fail(state, "the ring cannot be mapped: %s", strerror(errno));
	else
		ring_place_blocks(&ring->ring, ring->memory, ring->ring.block_size);
}

struct ring *ring_memory_restore(struct event_base *base, struct state *state,
				 const struct ring_restored *restored)
{
	struct memory_ring *ring = calloc(1, sizeof(*ring));

	if (!ring || !ring_set_up(&ring->ring, &memory_type, restored->block_size, restored->blocks,
				  restored->headers_fd)) {
		state_fail(state, "no memory for the ring");
		if (!ring && restored->headers_fd >= 0)
			close(restored->headers_fd);
		free(ring);
		return NULL;
	}
	ring->fd = -1;
	ring->base = base;
	memory_restore(ring, state);
	if (!state_failed(state))
		return &ring->ring;
	memory_release(ring);
	return NULL;
}
