// SPDX-License-Identifier: BSD-2-Clause
/*
 * An engine that cannot be stopped: blocks that it may still write are never used again, and never freed.
 * The module is one with fault points, which counts pages (kmod/fault.h). Each test needs a channel of its own:
 *
 *	stuck DEVICE stop|close|unbind
 */
#include "channel.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (64 * KIB)
#define BLOCK_COUNT 8U
#define RING (BLOCK_SIZE * BLOCK_COUNT)

/* Bytes that are leaked so far. */
static uint64_t leaked;

/* A ring of which some blocks are QUEUED, some READY, one is LENT. */
static struct channel half_full(struct dmacast_block *lent)
{
	struct channel channel;

	sim("rate", "1000000");
	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	*lent = read_one(&channel);
	need(wait_for(&channel, blocks_ready, 2, 20), "none is ready");
	sim("terminate_error", "1000");
	return channel;
}

/*
 * The device is unbound: close it, and see what stays. Its DMA channel is never given back, so it cannot be
 * bound again.
 */
static void stuck_leave(struct channel *channel, uint32_t queued)
{
	channel_close(channel);
	leaked += queued * BLOCK_SIZE;
	check_held(leaked, "unbound and closed");
	sim("terminate_error", "0");
	sim("rate", "0");
	check(!write_file("/sys/bus/platform/drivers/dmacast/bind", platform_device),
	      "it is bound again");
	check(access(device, F_OK), "%s is there", device);
}

static void test_stuck_stop(void)
{
	struct dmacast_block lent, block;
	struct channel channel = half_full(&lent);
	uint64_t sum = hash(content(&channel, &lent), BLOCK_SIZE);
	struct dmacast_stats stats;
	int kmsg = kmsg_open();
	uint32_t queued, ready;

	refused(ioctl(channel.fd, DMACAST_IOC_STOP), EIO);
	stats = channel_stats(&channel);
	queued = stats.blocks_queued;
	ready = stats.blocks_ready;
	check(queued >= 1, "none is queued");
	check(!stats.running, "it runs");
	check(kmsg_says(kmsg, "leaked"), "no word of it in the log");
	point("STOP fails, and the log says what that costs");

	/* Transfers go on until all are through. */
	sim("rate", "0");
	sleep_ms(1000);
	stats = channel_stats(&channel);
	check(stats.blocks_queued == queued && stats.blocks_ready == ready,
	      "%u queued, %u ready; before it were %u, %u", stats.blocks_queued, stats.blocks_ready,
	      queued, ready);
	for (unsigned int i = 0; i < ready; i++) {
		block = read_one(&channel);
		check_content(&channel, &block);
		recycle(&channel, block.index);
	}
	refused(read(channel.fd, &block, sizeof(block)), ENODATA);
	check(hash(content(&channel, &lent), BLOCK_SIZE) == sum, "the lent block has changed");
	recycle(&channel, lent.index);
	check(channel_stats(&channel).blocks_queued == queued, "%u queued",
	      channel_stats(&channel).blocks_queued);
	point("blocks that the engine has stay QUEUED; others can be read and given back");

	refused(ioctl(channel.fd, DMACAST_IOC_START), EIO);
	sim("terminate_error", "0");
	refused(ioctl(channel.fd, DMACAST_IOC_START), EIO);
	check(channel_stats(&channel).blocks_queued == queued, "%u queued",
	      channel_stats(&channel).blocks_queued);
	channel_close(&channel);
	channel = channel_open();
	refused(ioctl(channel.fd, DMACAST_IOC_START), EIO);
	check_held(leaked + RING, "closed");
	point("START fails from then on");

	unbind();
	stuck_leave(&channel, queued);
	point("unbind and close(): the leaked pages stay, and no others");
}

static void test_stuck_close(void)
{
	struct dmacast_block lent;
	struct channel channel = half_full(&lent);
	int kmsg = kmsg_open();
	uint32_t queued;

	channel_close(&channel);
	check(kmsg_says(kmsg, "leaked"), "no word of it in the log");
	channel = channel_open();
	queued = sysfs_value("blocks_queued");
	check(queued >= 1 && queued < BLOCK_COUNT, "%u queued", queued);
	refused(ioctl(channel.fd, DMACAST_IOC_START), EIO);
	unbind();
	stuck_leave(&channel, queued);
	point("close() while it runs");
}

static void test_stuck_unbind(void)
{
	struct dmacast_block lent;
	struct channel channel = half_full(&lent);
	int kmsg = kmsg_open();
	uint32_t queued;

	/* Only those that the engine has when it is unbound: nothing is filled until then. */
	sim("stall", "2000");
	sleep_ms(100);
	queued = channel_stats(&channel).blocks_queued;
	unbind();
	check(kmsg_says(kmsg, "leaked"), "no word of it in the log");
	check_content(&channel, &lent);
	stuck_leave(&channel, queued);
	point("unbind while it runs");
}

int main(int argc, char **argv)
{
	const char *test = argc > 2 ? argv[2] : "";

	begin(argc, argv);
	leaked = number_from("/sys/module/dmacast/parameters/held_pages") * page_size;
	if (!strcmp(test, "stop"))
		test_stuck_stop();
	else if (!strcmp(test, "close"))
		test_stuck_close();
	else if (!strcmp(test, "unbind"))
		test_stuck_unbind();
	else
		need(false, "usage: stuck DEVICE stop|close|unbind");
	return tap_end();
}
