// SPDX-License-Identifier: BSD-2-Clause
/*
 * The guard, without a network: vmsplice() puts references to a block's pages into a pipe, where they
 * stay until the pipe is read, as they would in a socket whose peer does not read.
 */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (100 * KIB)
#define BLOCK_COUNT 8U

struct pinned {
	int ends[2];
	size_t size;
	uint64_t sum;
};

/* pin() - the part of the block from @from on, into a pipe. */
static struct pinned guard_pin(const struct channel *channel, const struct dmacast_block *block,
			       size_t from, size_t size)
{
	struct pinned pinned = { .size = size };
	const unsigned char *start = content(channel, block) + from;
	struct iovec part = { (void *)(uintptr_t)start, size };

	need(!pipe2(pinned.ends, O_CLOEXEC), "pipe: %m");
	need(fcntl(pinned.ends[1], F_SETPIPE_SZ, 1 << 20) > 0, "F_SETPIPE_SZ: %m");
	pinned.sum = hash(start, size);
	need(vmsplice(pinned.ends[1], &part, 1, 0) == (ssize_t)size, "vmsplice: %m");
	return pinned;
}

/* unpin() - the pipe still has what was put into it. */
static void guard_unpin(struct pinned *pinned)
{
	unsigned char *copy = malloc(pinned->size);
	size_t have = 0;

	need(copy, "no memory");
	while (have < pinned->size) {
		ssize_t got = read(pinned->ends[0], copy + have, pinned->size - have);

		need(got > 0, "read: %m");
		have += got;
	}
	check(hash(copy, have) == pinned->sum, "the bytes have changed");
	free(copy);
	close(pinned->ends[0]);
	close(pinned->ends[1]);
}

/* go_round() - let every block be filled and read @rounds times. */
static void go_round(const struct channel *channel, unsigned int rounds)
{
	read_blocks(channel, rounds * BLOCK_COUNT);
}

/* All blocks can be lent at once (of a ring that stalls): none is missing. */
static void guard_check_whole(const struct channel *channel)
{
	struct dmacast_block blocks[BLOCK_COUNT];
	unsigned int count = channel_read(channel, blocks, BLOCK_COUNT, 10);

	check(count == BLOCK_COUNT, "%u of %u blocks are left", count, BLOCK_COUNT);
	for (unsigned int i = 0; i < count; i++) {
		check_content(channel, &blocks[i]);
		recycle(channel, blocks[i].index);
	}
}

static void test_short_wait(size_t from, size_t size, const char *what)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct dmacast_block block = read_one(&channel);
	struct pinned pinned = guard_pin(&channel, &block, from, size);
	uint64_t start = clock_ns(CLOCK_MONOTONIC);
	struct dmacast_stats stats;

	recycle(&channel, block.index);
	check(wait_for(&channel, quarantined, 1, 5), "it is not in quarantine");
	stats = channel_stats(&channel);
	check(stats.blocks_quarantine == 1 && stats.recycled == 1, "%u in quarantine",
	      stats.blocks_quarantine);
	refused(try_recycle(&channel, block.index), EINVAL);
	sleep_ms(200);
	guard_unpin(&pinned);
	check(wait_while(&channel, blocks_quarantine, 0, 5), "it stays in quarantine");
	stats = channel_stats(&channel);
	/* An emulated machine may be slow: then fresh pages are right, too. */
	if (clock_ns(CLOCK_MONOTONIC) - start < 800 * NS_PER_MS)
		check(!stats.replaced, "%llu replaced", stats.replaced);
	check(stats.quarantined == 1, "%llu quarantined", stats.quarantined);
	guard_check_whole(&channel);
	channel_close(&channel);
	point("given back too early: it waits (%s)", what);
}

static void test_long_wait(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct dmacast_block block = read_one(&channel);
	struct pinned pinned = guard_pin(&channel, &block, 0, BLOCK_SIZE);
	uint64_t start = clock_ns(CLOCK_MONOTONIC);
	struct dmacast_stats stats;

	recycle(&channel, block.index);
	check(wait_for(&channel, replaced, 1, 10), "no fresh pages");
	check(clock_ns(CLOCK_MONOTONIC) - start > 900 * NS_PER_MS, "they came after %.0f ms",
	      (clock_ns(CLOCK_MONOTONIC) - start) / 1e6);
	stats = channel_stats(&channel);
	check(stats.replaced == 1 && stats.quarantined == 1, "replaced %llu, quarantined %llu",
	      stats.replaced, stats.quarantined);
	check(sysfs_value("replaced") == 1, "sysfs: %" PRIu64, sysfs_value("replaced"));
	guard_check_whole(&channel);
	go_round(&channel, 5);
	guard_unpin(&pinned);
	guard_check_whole(&channel);
	check(channel_stats(&channel).replaced == 1, "more were replaced");
	channel_close(&channel);
	point("after a second it gets fresh pages, at the same place of the mapping");
}

static void test_fresh_is_zeroed(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct dmacast_block block = read_one(&channel);
	struct pinned pinned = guard_pin(&channel, &block, 0, page_size);
	static const unsigned char zeroes[BLOCK_SIZE];
	void *second = mmap(NULL, channel.map_size, PROT_READ, MAP_SHARED, channel.fd, 0);

	need(second != MAP_FAILED, "mmap: %m");
	touch((unsigned char *)second + block.index * channel.stride);
	channel_stop(&channel);
	recycle(&channel, block.index);
	channel_start(&channel);
	sim("rate", "1");
	wait_for(&channel, quarantined, 1, 10);
	channel_stop(&channel);
	check(wait_for(&channel, replaced, 1, 10), "no fresh pages while it is stopped");
	check(!memcmp(content(&channel, &block), zeroes, BLOCK_SIZE), "they are not zeroed");
	check(!memcmp((unsigned char *)second + block.index * channel.stride, zeroes, BLOCK_SIZE),
	      "not in the second mapping");
	guard_unpin(&pinned);
	munmap(second, channel.map_size);
	sim("rate", "0");
	channel_start(&channel);
	guard_check_whole(&channel);
	channel_close(&channel);
	point("fresh pages are zeroed, and in every mapping");
}

static void test_all(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct dmacast_block blocks[BLOCK_COUNT];
	struct pinned pinned[BLOCK_COUNT];

	need(channel_read(&channel, blocks, BLOCK_COUNT, 20) == BLOCK_COUNT, "not all came");
	for (unsigned int i = 0; i < BLOCK_COUNT; i++)
		pinned[i] = guard_pin(&channel, &blocks[i], 0, BLOCK_SIZE);
	for (unsigned int i = 0; i < BLOCK_COUNT; i++)
		recycle(&channel, blocks[i].index);
	check(wait_for(&channel, replaced, BLOCK_COUNT, 20), "not all got fresh pages");
	guard_check_whole(&channel);
	go_round(&channel, 3);
	for (unsigned int i = 0; i < BLOCK_COUNT; i++)
		guard_unpin(&pinned[i]);
	check(channel_stats(&channel).replaced == BLOCK_COUNT, "more were replaced");
	channel_close(&channel);
	point("all blocks at once");
}

static void test_guard_close(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct dmacast_block blocks[3];
	struct pinned pinned[3];

	need(channel_read(&channel, blocks, 3, 20) == 3, "not all came");
	for (unsigned int i = 0; i < 3; i++)
		pinned[i] = guard_pin(&channel, &blocks[i], i * page_size, (i + 1) * 5 * page_size);
	channel_close(&channel);
	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	go_round(&channel, 3);
	check(wait_while(&channel, blocks_quarantine, 0, 10), "blocks stay in quarantine");
	guard_check_whole(&channel);
	go_round(&channel, 3);
	for (unsigned int i = 0; i < 3; i++)
		guard_unpin(&pinned[i]);
	channel_close(&channel);
	point("close() with lent blocks, and the same ring again");

	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	need(channel_read(&channel, blocks, 1, 20) == 1, "none came");
	pinned[0] = guard_pin(&channel, &blocks[0], 0, BLOCK_SIZE);
	channel_close(&channel);
	channel = channel_run(2 * BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	go_round(&channel, 3);
	channel_close(&channel);
	channel = channel_open();
	need(!try_setup(&channel, 0, 0, 0), "SETUP 0, 0: %m");
	guard_unpin(&pinned[0]);
	channel_close(&channel);
	point("close(), and another ring");
}

static void test_guard_kill(void)
{
	int status, from_child[2];
	struct channel channel;
	struct pinned pinned;
	char one;
	pid_t child;

	/* The pipe is the parent's, the device the child's. */
	need(!pipe(pinned.ends) && !pipe(from_child), "pipe: %m");
	need(fcntl(pinned.ends[1], F_SETPIPE_SZ, 1 << 20) > 0, "F_SETPIPE_SZ: %m");
	pinned.size = BLOCK_SIZE;
	child = fork();
	need(child >= 0, "fork: %m");
	if (!child) {
		struct channel own = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
		struct dmacast_block block = read_one(&own);
		struct iovec part = { (void *)(uintptr_t)content(&own, &block), BLOCK_SIZE };
		uint64_t sum = hash(content(&own, &block), BLOCK_SIZE);

		need(vmsplice(pinned.ends[1], &part, 1, 0) == BLOCK_SIZE, "vmsplice: %m");
		need(write(from_child[1], &sum, sizeof(sum)) == sizeof(sum), "write: %m");
		for (;;) {
			block = read_one(&own);
			recycle(&own, block.index);
		}
	}
	close(from_child[1]);
	need(read(from_child[0], &pinned.sum, sizeof(pinned.sum)) == sizeof(pinned.sum),
	     "the child has ended");
	sleep_ms(100);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	check(WIFSIGNALED(status), "it ended by itself");
	check(read(from_child[0], &one, 1) == 0, "the child lives");
	close(from_child[0]);
	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	guard_check_whole(&channel);
	go_round(&channel, 5);
	guard_unpin(&pinned);
	guard_check_whole(&channel);
	channel_close(&channel);
	point("kill -9");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	test_short_wait(0, BLOCK_SIZE, "all of its pages");
	test_short_wait(0, page_size, "its first page");
	test_short_wait(BLOCK_SIZE - page_size, page_size, "its last page");
	test_short_wait(5 * page_size, 1, "a byte in the middle");
	test_long_wait();
	test_fresh_is_zeroed();
	test_all();
	test_guard_close();
	test_guard_kill();
	return tap_end();
}
