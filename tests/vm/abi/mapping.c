// SPDX-License-Identifier: BSD-2-Clause
/* mmap() and what can be done to a mapping. */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Blocks of several pages, and not of a power of two. */
#define BLOCK_SIZE (100 * KIB)
#define BLOCK_COUNT 8U

/* A stopped ring of which every block is lent: their content stays. */
struct lent_ring {
	struct channel channel;
	struct dmacast_block blocks[BLOCK_COUNT];
	uint64_t sum;
};

static uint64_t ring_hash(const struct channel *channel, const unsigned char *map)
{
	return hash(map, channel->map_size);
}

static struct lent_ring lend_all(void)
{
	struct lent_ring ring = { .channel = channel_run(BLOCK_SIZE, BLOCK_COUNT,
							 DMACAST_SETUP_STALL) };

	need(channel_read(&ring.channel, ring.blocks, BLOCK_COUNT, 20) == BLOCK_COUNT,
	     "not %u blocks in 20 s", BLOCK_COUNT);
	channel_stop(&ring.channel);
	for (unsigned int i = 0; i < BLOCK_COUNT; i++)
		check_content(&ring.channel, &ring.blocks[i]);
	ring.sum = ring_hash(&ring.channel, ring.channel.map);
	return ring;
}

static void check_same(const struct lent_ring *ring, const char *after)
{
	int number = touch(ring->channel.map);

	if (check(!number, "signal %d after %s", number, after))
		check(ring_hash(&ring->channel, ring->channel.map) == ring->sum,
		      "other content after %s", after);
}

/*
 * The module's counting of its own mappings must have come out right: all blocks can be filled
 * again, none has to wait for a reference that nobody has, none got fresh pages.
 */
static void give_all_back(struct lent_ring *ring)
{
	struct channel *channel = &ring->channel;
	struct dmacast_stats stats;

	for (unsigned int i = 0; i < BLOCK_COUNT; i++)
		recycle(channel, ring->blocks[i].index);
	check(wait_while(channel, blocks_quarantine, 0, 5), "blocks stay in quarantine");
	channel_start(channel);
	for (unsigned int i = 0; i < 3 * BLOCK_COUNT; i++) {
		struct dmacast_block block = read_one(channel);

		check_content(channel, &block);
		recycle(channel, block.index);
	}
	channel_stop(channel);
	wait_while(channel, blocks_quarantine, 0, 5);
	stats = channel_stats(channel);
	check(!stats.blocks_quarantine, "%u blocks in quarantine", stats.blocks_quarantine);
	check(!stats.replaced, "%llu blocks got fresh pages", stats.replaced);
	channel_close(channel);
}

static void test_mapping_refused(void)
{
	struct channel channel = channel_open();
	const int shared = MAP_SHARED, private = MAP_PRIVATE;
	struct statvfs dev;
	bool noexec;
	size_t size;

#define map_refused(size_, protection, flags, offset, error)                                    \
	({                                                                                      \
		errno = 0;                                                                      \
		void *map_ = mmap(NULL, size_, protection, flags, channel.fd, offset);          \
		check(map_ == MAP_FAILED && errno == (error), "%s, %s, %s at %s: %p, errno %d", \
		      #size_, #protection, #flags, #offset, map_, errno);                       \
	})
	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
	size = channel.map_size;
	map_refused(size, PROT_READ, private, 0, EINVAL);
	map_refused(size, PROT_READ | PROT_WRITE, shared, 0, EACCES);
	map_refused(size, PROT_WRITE, shared, 0, EACCES);
	point("only shared, only for reading");

	/* On a file system without programs, the kernel itself refuses. */
	need(!statvfs("/dev", &dev), "statvfs: %m");
	noexec = dev.f_flag & ST_NOEXEC;
	map_refused(size, PROT_READ | PROT_EXEC, shared, 0, noexec ? EPERM : EACCES);
	map_refused(size, PROT_EXEC, shared, 0, noexec ? EPERM : EACCES);
	point("no program");

	map_refused(size - page_size, PROT_READ, shared, 0, EINVAL);
	map_refused(size + page_size, PROT_READ, shared, 0, EINVAL);
	map_refused(page_size, PROT_READ, shared, 0, EINVAL);
	map_refused(channel.stride, PROT_READ, shared, 0, EINVAL);
	map_refused(2 * size, PROT_READ, shared, 0, EINVAL);
	map_refused(size, PROT_READ, shared, page_size, EINVAL);
	map_refused(size - page_size, PROT_READ, shared, page_size, EINVAL);
	map_refused(channel.stride, PROT_READ, shared, channel.stride, EINVAL);
	map_refused(size, PROT_READ, shared, size, EINVAL);
	map_refused(size, PROT_READ, shared, 1LL << 44, EINVAL);
	point("only as a whole");
	check(!try_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0),
	      "a refused mapping counts as one: %m");
	channel_close(&channel);
	point("a refused mapping leaves nothing behind");
}

static void test_protection(void)
{
	struct lent_ring ring = lend_all();
	char *map = (char *)(uintptr_t)ring.channel.map;
	const size_t size = ring.channel.map_size;

	refused(mprotect(map, size, PROT_READ | PROT_WRITE), EACCES);
	refused(mprotect(map, page_size, PROT_READ | PROT_WRITE), EACCES);
	refused(mprotect(map, size, PROT_WRITE), EACCES);
	refused(mprotect(map, size, PROT_READ | PROT_EXEC), EACCES);
	check_same(&ring, "mprotect");
	check(!mprotect(map, size, PROT_NONE), "mprotect to nothing: %m");
	check(touch(map) == SIGSEGV, "it can be read without permission");
	check(!mprotect(map, size, PROT_READ), "mprotect to reading: %m");
	check_same(&ring, "mprotect back");
	give_all_back(&ring);
	point("mprotect() cannot add writing");
}

static void test_parts(void)
{
	struct lent_ring ring = lend_all();
	char *map = (char *)(uintptr_t)ring.channel.map;
	const size_t size = ring.channel.map_size, half = BLOCK_COUNT / 2 * ring.channel.stride;
	char *elsewhere = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(elsewhere != MAP_FAILED, "mmap: %m");
	refused(munmap(map, page_size), EINVAL);
	refused(munmap(map, half), EINVAL);
	refused(munmap(map + half, size - half), EINVAL);
	refused(munmap(map + page_size, page_size), EINVAL);
	refused(munmap(map + size - page_size, page_size), EINVAL);
	check_same(&ring, "munmap of a part");
	check(mmap(map + half, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == MAP_FAILED,
	      "something else can be mapped over a part");
	check_same(&ring, "mmap over a part");
	point("munmap() of a part");

	check(mremap(map, size, size + page_size, MREMAP_MAYMOVE) == MAP_FAILED, "it grows");
	check(mremap(map, size, size + page_size, 0) == MAP_FAILED, "it grows");
	check(mremap(map, size, 2 * size, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) == MAP_FAILED,
	      "it grows");
	check(mremap(map, size, half, 0) == MAP_FAILED, "it shrinks");
	check(mremap(map, half, half, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) == MAP_FAILED,
	      "a part moves");
	check(mremap(map, size, size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0) == MAP_FAILED,
	      "it moves and leaves something behind");
	check(mremap(map, 0, 2 * size, MREMAP_MAYMOVE) == MAP_FAILED, "a copy is larger");
	check_same(&ring, "what is no more than an attempt of mremap()");
	point("mremap() to another size");
	give_all_back(&ring);
	munmap(elsewhere, 2 * size);
}

static void test_move(void)
{
	struct lent_ring ring = lend_all();
	char *map = (char *)(uintptr_t)ring.channel.map;
	const size_t size = ring.channel.map_size;
	char *elsewhere = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *moved;

	need(elsewhere != MAP_FAILED, "mmap: %m");
	moved = mremap(map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere + page_size);
	if (moved != MAP_FAILED) {
		check(touch(map) == SIGSEGV, "it is still at the old place, too");
		ring.channel.map = (unsigned char *)moved;
	}
	check_same(&ring, "moving it");
	give_all_back(&ring);
	munmap(elsewhere, 2 * size);
	point("mremap() to another place: %s", moved == MAP_FAILED ? "refused" : "works");
}

static void test_advice(void)
{
	struct lent_ring ring = lend_all();
	char *map = (char *)(uintptr_t)ring.channel.map;
	const size_t size = ring.channel.map_size;
	static const int others[] = {
		MADV_NORMAL,
		MADV_RANDOM,
		MADV_SEQUENTIAL,
		MADV_WILLNEED,
		MADV_COLD,
		MADV_PAGEOUT,
		MADV_FREE,
		MADV_REMOVE,
		MADV_HUGEPAGE,
		MADV_NOHUGEPAGE,
		MADV_MERGEABLE,
		MADV_DODUMP,
		MADV_DONTDUMP,
		MADV_WIPEONFORK,
		MADV_KEEPONFORK,
		22 /* MADV_POPULATE_READ */,
		23 /* MADV_POPULATE_WRITE */,
		25 /* MADV_COLLAPSE */,
	};

	check(!madvise(map, size, MADV_DONTNEED), "madvise: %m");
	check_same(&ring, "MADV_DONTNEED");
	check(!madvise(map + page_size, page_size, MADV_DONTNEED), "madvise of a page: %m");
	check(!madvise(map + ring.channel.stride, 3 * page_size, MADV_DONTNEED),
	      "madvise of some pages: %m");
	check_same(&ring, "MADV_DONTNEED for some pages");
	give_all_back(&ring);
	point("MADV_DONTNEED, and every page is there again when it is read");

	/* The pages are not there when the block is given back. */
	ring = lend_all();
	map = (char *)(uintptr_t)ring.channel.map;
	check(!madvise(map, size, MADV_DONTNEED), "madvise: %m");
	give_all_back(&ring);
	ring = lend_all();
	map = (char *)(uintptr_t)ring.channel.map;
	check(!madvise(map + page_size, size - 2 * page_size, MADV_DONTNEED), "madvise: %m");
	touch(map + 2 * page_size);
	channel_unmap(&ring.channel);
	channel_map(&ring.channel);
	check_same(&ring, "a new mapping");
	give_all_back(&ring);
	point("MADV_DONTNEED, and the block goes back without it");

	ring = lend_all();
	map = (char *)(uintptr_t)ring.channel.map;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		/* Whatever it says: it must not do harm, a part of it neither. */
		madvise(map, size, others[i]);
		madvise(map + page_size, page_size, others[i]);
		check_same(&ring, "other advice");
	}
	give_all_back(&ring);
	point("other advice does no harm");

	ring = lend_all();
	map = (char *)(uintptr_t)ring.channel.map;
	mlock(map, size);
	check_same(&ring, "mlock");
	munlock(map, size);
	mlockall(MCL_CURRENT | MCL_FUTURE);
	check_same(&ring, "mlockall");
	channel_unmap(&ring.channel);
	channel_map(&ring.channel);
	check_same(&ring, "a new, locked mapping");
	munlockall();
	give_all_back(&ring);
	point("mlock(), mlockall()");
}

/* in_child() - what reading the map gives in a child: a signal; 0; or 255: other content. */
static int in_child(const struct lent_ring *ring)
{
	int status;
	pid_t child = fork();

	need(child >= 0, "fork: %m");
	if (!child) {
		int number = touch(ring->channel.map);

		if (!number && ring_hash(&ring->channel, ring->channel.map) != ring->sum)
			number = 255;
		_exit(number);
	}
	need(waitpid(child, &status, 0) == child && WIFEXITED(status), "the child has a signal");
	return WEXITSTATUS(status);
}

static void test_fork(void)
{
	struct lent_ring ring = lend_all();
	char *map = (char *)(uintptr_t)ring.channel.map;
	const size_t size = ring.channel.map_size;
	int result, status, ready[2];
	pid_t child;

	result = in_child(&ring);
	check(result == SIGSEGV, "the child has signal %d", result);
	check_same(&ring, "fork()");
	give_all_back(&ring);
	point("a child has no mapping");

	/* Mapping may be refused or succeed, and must be correct if it succeeds. */
	ring = lend_all();
	map = (char *)(uintptr_t)ring.channel.map;
	result = madvise(map, size, MADV_DOFORK);
	result = result ? SIGSEGV : 0;
	status = in_child(&ring);
	check(status == result || status == SIGSEGV, "the child has signal %d", status);
	check_same(&ring, "a fork() that was asked for");
	give_all_back(&ring);
	point("MADV_DOFORK: %s", result ? "refused" : status ? "without effect" : "works");

	/* A child that lives, with whatever it has: its mapping is no reason to wait. */
	ring = lend_all();
	map = (char *)(uintptr_t)ring.channel.map;
	madvise(map, size, MADV_DOFORK);
	need(!pipe(ready), "pipe: %m");
	child = fork();
	need(child >= 0, "fork: %m");
	if (!child) {
		touch(map);
		touch(map + size - 1);
		check(write(ready[1], "", 1) == 1, "write: %m");
		pause();
		_exit(0);
	}
	need(read(ready[0], (char[1]){ 0 }, 1) == 1, "read: %m");
	give_all_back(&ring);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	close(ready[0]);
	close(ready[1]);
	/* Until the child is gone, the file was open in it. */
	ring = lend_all();
	give_all_back(&ring);
	point("blocks go round while such a child lives");
}

static void test_two(void)
{
	struct lent_ring ring = lend_all();
	const size_t size = ring.channel.map_size;
	void *second = mmap(NULL, size, PROT_READ, MAP_SHARED, ring.channel.fd, 0);
	void *third = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, ring.channel.fd, 0);

	need(second != MAP_FAILED && third != MAP_FAILED, "mmap: %m");
	check(ring_hash(&ring.channel, second) == ring.sum, "other content in the second one");
	check(ring_hash(&ring.channel, third) == ring.sum, "other content in the third one");
	channel_unmap(&ring.channel);
	check(ring_hash(&ring.channel, second) == ring.sum, "other content without the first one");
	for (unsigned int i = 0; i < BLOCK_COUNT; i++)
		recycle(&ring.channel, ring.blocks[i].index);
	refused(try_setup(&ring.channel, BLOCK_SIZE, BLOCK_COUNT, 0), EBUSY);
	check(!munmap(third, size), "munmap: %m");
	refused(try_setup(&ring.channel, BLOCK_SIZE, BLOCK_COUNT, 0), EBUSY);
	ring.channel.map = second;
	channel_start(&ring.channel);
	need(channel_read(&ring.channel, ring.blocks, BLOCK_COUNT, 20) == BLOCK_COUNT,
	     "not %u blocks in 20 s", BLOCK_COUNT);
	channel_stop(&ring.channel);
	for (unsigned int i = 0; i < BLOCK_COUNT; i++)
		check_content(&ring.channel, &ring.blocks[i]);
	third = mmap(NULL, size, PROT_READ, MAP_SHARED, ring.channel.fd, 0);
	need(third != MAP_FAILED, "mmap: %m");
	give_all_back(&ring);
	check(!munmap(third, size), "munmap: %m");
	ring.channel = channel_open();
	check(!try_setup(&ring.channel, BLOCK_SIZE, BLOCK_COUNT, 0), "unmapped: %m");
	channel_close(&ring.channel);
	point("several mappings");
}

static void test_after_close(void)
{
	struct lent_ring ring = lend_all();

	/* The file is open as long as it is mapped. */
	need(!close(ring.channel.fd), "close: %m");
	check_same(&ring, "close()");
	refused(open(device, O_RDWR), EBUSY);
	channel_unmap(&ring.channel);
	ring.channel = channel_open();
	channel_setup(&ring.channel, BLOCK_SIZE, BLOCK_COUNT, 0);
	check(channel_stats(&ring.channel).blocks_lent == 0, "blocks are still lent");
	channel_close(&ring.channel);
	point("a mapping outlives close()");
}

static void test_readers(void)
{
	struct lent_ring ring = lend_all();
	static char copy[BLOCK_SIZE];
	struct iovec to = { copy, sizeof(copy) };
	int status;
	pid_t child;

	for (unsigned int i = 0; i < BLOCK_COUNT; i++) {
		const unsigned char *block = ring.channel.map + i * ring.channel.stride;
		struct iovec from = { (void *)(uintptr_t)block, sizeof(copy) };

		memset(copy, 0, sizeof(copy));
		child = fork();
		need(child >= 0, "fork: %m");
		if (!child) {
			/* What a debugger does. */
			ssize_t length = process_vm_readv(getppid(), &to, 1, &from, 1, 0);

			if (length != (ssize_t)sizeof(copy))
				_exit(1);
			_exit(hash(copy, sizeof(copy)) % 199 + 2);
		}
		need(waitpid(child, &status, 0) == child && WIFEXITED(status), "a signal");
		check(WEXITSTATUS(status) == (int)(hash(block, sizeof(copy)) % 199 + 2),
		      "process_vm_readv of block %u: %d", i, WEXITSTATUS(status));
	}
	give_all_back(&ring);
	point("another process reads it");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	test_mapping_refused();
	test_protection();
	test_parts();
	test_move();
	test_advice();
	test_fork();
	test_two();
	test_after_close();
	test_readers();
	return tap_end();
}
