// SPDX-License-Identifier: BSD-2-Clause
/*
 * Memory that pages in use elsewhere can cost: blocks get fresh pages until those that they left behind
 * are one ring's size, and wait in quarantine from then on.
 *
 *	bounded DEVICE
 *	bounded DEVICE charge DIRECTORY		the fresh pages are charged to the memory cgroup there
 *
 * The module is one with fault points, which counts pages (kmod/fault.h).
 */
#include "channel.h"

#include <inttypes.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* One run of pages, which stays as a whole while one of its pages is held. */
#define BLOCK_SIZE (64 * KIB)
#define BLOCK_COUNT 8U
#define RING (BLOCK_SIZE * BLOCK_COUNT)

struct held_ring {
	struct held_page pages[BLOCK_COUNT];
	unsigned int count;
};

static uint64_t held_bytes(void)
{
	return number_from("/sys/module/dmacast/parameters/held_pages") * page_size;
}

/* hold_all() - read every block, hold its first page, give it back. */
static struct held_ring hold_all(const struct channel *channel)
{
	struct dmacast_block blocks[BLOCK_COUNT];
	struct held_ring held = { .count = channel->block_count };

	need(channel_read(channel, blocks, held.count, 20) == held.count, "not all came");
	for (unsigned int i = 0; i < held.count; i++)
		held.pages[i] = hold_page(channel, &blocks[i]);
	for (unsigned int i = 0; i < held.count; i++)
		recycle(channel, blocks[i].index);
	return held;
}

/* release() - the first @count of those that are still held. */
static void bounded_release(struct held_ring *held, unsigned int count)
{
	for (; count; count--)
		check(release_page(&held->pages[--held->count]), "a page changed in its pipe");
}

static void bounded_check_whole(const struct channel *channel)
{
	struct dmacast_block blocks[BLOCK_COUNT];
	unsigned int count = channel_read(channel, blocks, channel->block_count, 10);

	check(count == channel->block_count, "%u of %u blocks came", count, channel->block_count);
	for (unsigned int i = 0; i < count; i++) {
		check_content(channel, &blocks[i]);
		recycle(channel, blocks[i].index);
	}
}

/* wait_for_left() - wait until these bytes are left behind; the module notices that some time after. */
static void wait_for_left(const struct channel *channel, uint64_t bytes)
{
	check(wait_while(channel, left_behind, bytes, 10) &&
		      wait_for(channel, left_behind, bytes, 10),
	      "%llu bytes are left behind, not %" PRIu64, channel_stats(channel).left_behind,
	      bytes);
}

static void test_cap(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct held_ring first, second;
	struct dmacast_stats stats;
	int kmsg = kmsg_open();

	check_held(RING, "set up");
	first = hold_all(&channel);
	check(wait_for(&channel, replaced, BLOCK_COUNT, 20), "not all got fresh pages");
	wait_for_left(&channel, RING);
	check(sysfs_value("left_behind") == RING, "sysfs: %" PRIu64, sysfs_value("left_behind"));
	check(!channel_stats(&channel).left_refused, "refused before the limit");
	check_held(2 * RING, "one ring left behind");
	check(!kmsg_says(kmsg, "still referenced"), "the log tells of it before the limit");
	point("blocks get fresh pages while less than a ring is left behind");

	second = hold_all(&channel);
	check(wait_for(&channel, blocks_quarantine, BLOCK_COUNT, 5), "not all wait");
	check(wait_for(&channel, left_refused, 1, 10), "none is refused");
	sleep_ms(3000);
	stats = channel_stats(&channel);
	check(stats.replaced == BLOCK_COUNT, "%llu replaced", stats.replaced);
	check(stats.blocks_quarantine == BLOCK_COUNT, "%u in quarantine", stats.blocks_quarantine);
	check(stats.left_behind == RING, "%llu bytes left behind", stats.left_behind);
	check(sysfs_value("left_refused") >= 1, "sysfs: %" PRIu64, sysfs_value("left_refused"));
	check(held_bytes() <= 2 * RING, "%" PRIu64 " bytes are held", held_bytes());
	check(kmsg_count(kmsg, "still referenced") == 1, "not one line of the log tells of it");
	point("and no more after that: they wait, and the log says so once");

	bounded_release(&first, BLOCK_COUNT / 2);
	check(wait_for(&channel, replaced, BLOCK_COUNT + BLOCK_COUNT / 2, 10), "replaced: %llu",
	      channel_stats(&channel).replaced);
	sleep_ms(1500);
	stats = channel_stats(&channel);
	check(stats.replaced == BLOCK_COUNT + BLOCK_COUNT / 2, "%llu replaced", stats.replaced);
	check(stats.left_behind <= RING, "%llu bytes left behind", stats.left_behind);
	check(held_bytes() <= 2 * RING, "%" PRIu64 " bytes are held", held_bytes());
	point("some pipes are read: as many blocks get fresh pages");

	bounded_release(&first, first.count);
	bounded_release(&second, second.count);
	check(wait_while(&channel, blocks_quarantine, 0, 10), "blocks stay in quarantine");
	wait_for_left(&channel, 0);
	bounded_check_whole(&channel);
	bounded_check_whole(&channel);
	check_held(RING, "all pipes read");
	close(kmsg);
	channel_close(&channel);
	point("all pipes are read: the ring is whole, and what was left behind is freed");
}

/* A ring that is left by SETUP counts like blocks that got fresh pages. */
static void test_bounded_setup(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct held_ring first = hold_all(&channel), second;

	channel_stop(&channel);
	channel_unmap(&channel);
	channel_setup(&channel, 2 * BLOCK_SIZE, BLOCK_COUNT / 2, DMACAST_SETUP_STALL);
	wait_for_left(&channel, RING);
	check_held(2 * RING, "another ring");
	channel_map(&channel);
	channel_start(&channel);
	bounded_check_whole(&channel);
	point("SETUP leaves a ring whose pages are held");

	second = hold_all(&channel);
	channel_stop(&channel);
	channel_unmap(&channel);
	refused(try_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0), EBUSY);
	refused(try_setup(&channel, BLOCK_SIZE, BLOCK_COUNT / 2, 0), EBUSY);
	refused(try_setup(&channel, 0, 0, 0), EBUSY);
	check(held_bytes() <= 2 * RING, "%" PRIu64 " bytes are held", held_bytes());
	/* A refused SETUP changes nothing, and the same geometry leaves nothing. */
	check(sysfs_value("block_size") == 2 * BLOCK_SIZE, "block_size: %" PRIu64,
	      sysfs_value("block_size"));
	check(!try_setup(&channel, 2 * BLOCK_SIZE, BLOCK_COUNT / 2, DMACAST_SETUP_STALL),
	      "the same geometry: %m");
	point("EBUSY when more than the larger ring would be left behind");

	bounded_release(&first, first.count);
	check(wait_for(&channel, replaced, BLOCK_COUNT / 2, 10), "replaced: %llu",
	      channel_stats(&channel).replaced);
	wait_for_left(&channel, RING);
	channel_setup(&channel, BLOCK_SIZE / 2, BLOCK_COUNT, DMACAST_SETUP_STALL);
	check_held(RING + RING / 2, "a smaller ring");
	bounded_release(&second, second.count);
	wait_for_left(&channel, 0);
	channel_map(&channel);
	channel_start(&channel);
	bounded_check_whole(&channel);
	channel_close(&channel);
	check_held(RING / 2, "all pipes read");
	channel = channel_open();
	channel_setup(&channel, 0, 0, 0);
	check_held(0, "freed");
	channel_close(&channel);
	point("after the pipes are read it works, and nothing stays");
}

/* Many owners, each of which dies with its blocks in use. */
static void test_owners(void)
{
	struct held_ring held[6];

	for (unsigned int n = 0; n < 6; n++) {
		struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
		struct dmacast_block blocks[BLOCK_COUNT];

		held[n].count = channel_read(&channel, blocks, BLOCK_COUNT, n < 2 ? 20 : 2);
		for (unsigned int i = 0; i < held[n].count; i++)
			held[n].pages[i] = hold_page(&channel, &blocks[i]);
		channel_close(&channel);
		sleep_ms(1500);
		check(held_bytes() <= 2 * RING, "owner %u: %" PRIu64 " bytes are held", n,
		      held_bytes());
		check(sysfs_value("left_behind") <= RING, "owner %u: left behind: %" PRIu64, n,
		      sysfs_value("left_behind"));
	}
	check(held[0].count == BLOCK_COUNT && held[1].count == BLOCK_COUNT,
	      "the first two had %u and %u blocks", held[0].count, held[1].count);
	check(!held[5].count, "the last one had %u blocks", held[5].count);
	for (unsigned int n = 0; n < 6; n++)
		bounded_release(&held[n], held[n].count);
	point("six owners, one after the other, die with all blocks in use");

	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);

	check(wait_while(&channel, blocks_quarantine, 0, 10), "blocks stay in quarantine");
	wait_for_left(&channel, 0);
	bounded_check_whole(&channel);
	channel_close(&channel);
	check_held(RING, "all pipes read");
	point("and when all is read, the ring is whole");
}

static void test_charge(const char *directory)
{
	struct channel channel = channel_run(16 * BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct held_ring held;
	char path[PATH_MAX];
	uint64_t before;

	snprintf(path, sizeof(path), "%s/memory.current", directory);
	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	before = number_from(path);
	check(before >= 16 * RING, "%" PRIu64 " bytes are charged for a ring", before);
	held = hold_all(&channel);
	check(wait_for(&channel, replaced, BLOCK_COUNT, 20), "not all got fresh pages");
	/* The kernel charges in batches. */
	check(number_from(path) >= before + 15 * RING,
	      "%" PRIu64 " bytes are charged, before it were %" PRIu64, number_from(path), before);
	bounded_release(&held, held.count);
	channel_close(&channel);
	point("fresh pages are charged to the group of the process that set up the ring");
}

int main(int argc, char **argv)
{
	struct dmacast_info info;
	struct channel channel;

	begin(argc, argv);
	if (argc > 3 && !strcmp(argv[2], "charge")) {
		test_charge(argv[3]);
		return tap_end();
	}
	channel = channel_open();
	check(!ioctl(channel.fd, DMACAST_IOC_INFO, &info) && info.abi_version >= 2,
	      "ABI version %u", info.abi_version);
	check(sysfs_value("left_behind") == 0 && sysfs_value("left_refused") == 0,
	      "no such attributes in sysfs");
	channel_close(&channel);
	point("the ABI has left_behind and left_refused");
	test_cap();
	test_bounded_setup();
	test_owners();
	return tap_end();
}
