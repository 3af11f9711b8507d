// SPDX-License-Identifier: BSD-2-Clause
/* Nobody reads fast enough: drop-oldest, stall, and what is lent stays as it is. Counters. */
#include "channel.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (20 * KIB)
#define BLOCK_COUNT 12U

static void test_drop_oldest(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
	struct dmacast_block lent[3], block;
	uint64_t sums[3], end, sequence, offset, lost = 0, records = 0;
	struct dmacast_stats stats = { 0 };

	need(channel_read(&channel, lent, 3, 20) == 3, "no blocks");
	for (unsigned int i = 0; i < 3; i++) {
		check_content(&channel, &lent[i]);
		sums[i] = hash(content(&channel, &lent[i]), lent[i].length);
		check(lent[i].sequence == i + lost + lent[i].lost, "sequence %llu, lost %llu",
		      lent[i].sequence, lent[i].lost);
		lost += lent[i].lost;
		records++;
	}
	end = clock_ns(CLOCK_MONOTONIC) + 3 * NS_PER_S;
	while (clock_ns(CLOCK_MONOTONIC) < end) {
		stats = channel_stats(&channel);
		check(stats.blocks_lent == 3, "%u are lent", stats.blocks_lent);
		for (unsigned int i = 0; i < 3; i++)
			check(hash(content(&channel, &lent[i]), lent[i].length) == sums[i],
			      "lent block %u has changed", lent[i].index);
	}
	check(stats.overruns > BLOCK_COUNT, "%llu overruns", stats.overruns);
	check(stats.completed > 4 * BLOCK_COUNT, "%llu blocks in 3 s", stats.completed);
	point("over 3 s of overrun, lent blocks stay as they are");

	sequence = lent[2].sequence;
	offset = stream_offset(&channel, &lent[2]);
	for (unsigned int n = 0; n < 200; n++) {
		if (n % 10 == 0)
			sleep_ms(20);
		block = read_one(&channel);
		check(block.sequence == sequence + 1 + block.lost,
		      "sequence %llu after %" PRIu64 ", lost %llu", block.sequence, sequence,
		      block.lost);
		check(!(block.flags & DMACAST_BLOCK_AFTER_ERROR), "flags %x without an error",
		      block.flags);
		check_content(&channel, &block);
		check(stream_offset(&channel, &block) == offset + (1 + block.lost) * BLOCK_SIZE,
		      "offset %" PRIu64 " after %" PRIu64 ", lost %llu",
		      stream_offset(&channel, &block), offset, block.lost);
		offset = stream_offset(&channel, &block);
		sequence = block.sequence;
		lost += block.lost;
		records++;
		recycle(&channel, block.index);
	}
	check(lost > 0, "nothing was lost");
	point("the gap in the sequence is what was lost, and what the content lacks");

	channel_stop(&channel);
	while (read(channel.fd, &block, sizeof(block)) == sizeof(block)) {
		lost += block.lost;
		records++;
		sequence = block.sequence;
	}
	stats = channel_stats(&channel);
	check(records + lost == sequence + 1,
	      "%" PRIu64 " records, %" PRIu64 " lost, last %" PRIu64, records, lost, sequence);
	check(stats.completed == sequence + 1, "completed %llu, last %" PRIu64, stats.completed,
	      sequence);
	check(stats.overruns == lost, "%llu overruns, lost %" PRIu64, stats.overruns, lost);
	check(stats.lent == records, "lent %llu, not %" PRIu64, stats.lent, records);
	check(stats.bytes == stats.completed * BLOCK_SIZE, "bytes %llu", stats.bytes);
	check(!stats.errors && !stats.short_transfers, "errors %llu, short %llu", stats.errors,
	      stats.short_transfers);
	check(!stats.quarantined && !stats.replaced, "quarantined %llu, replaced %llu",
	      stats.quarantined, stats.replaced);
	channel_close(&channel);
	point("every block is either read or counted as an overrun");
}

static void test_all_lent(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
	struct dmacast_block lent[BLOCK_COUNT], block;
	struct dmacast_stats before, after;
	uint64_t sum;

	need(channel_read(&channel, lent, BLOCK_COUNT, 20) == BLOCK_COUNT, "not all came");
	sum = hash(channel.map, channel.map_size);
	sleep_ms(500);
	before = channel_stats(&channel);
	sleep_ms(500);
	after = channel_stats(&channel);
	check(after.blocks_lent == BLOCK_COUNT && !after.blocks_ready && !after.blocks_queued,
	      "%u lent, %u ready, %u queued", after.blocks_lent, after.blocks_ready,
	      after.blocks_queued);
	check(after.completed == before.completed, "blocks were completed");
	check(after.stalls >= 1, "%llu stalls", after.stalls);
	check(hash(channel.map, channel.map_size) == sum, "something has changed");
	point("all blocks lent: the engine runs dry, nothing changes");

	for (unsigned int n = 0; n < 20; n++) {
		recycle(&channel, lent[0].index);
		block = read_one(&channel);
		check(block.index == lent[0].index, "another index");
		check_content(&channel, &block);
	}
	check(channel_stats(&channel).stalls > after.stalls, "the stalls are not counted on");
	channel_close(&channel);
	point("it goes on with one block");
}

static void test_stall(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct dmacast_stats stats;
	struct dmacast_block block;
	uint64_t offset = 0, sum;

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	sum = hash(channel.map, channel.map_size);
	sleep_ms(1000);
	stats = channel_stats(&channel);
	check(stats.completed == BLOCK_COUNT && stats.blocks_ready == BLOCK_COUNT,
	      "completed %llu, ready %u", stats.completed, stats.blocks_ready);
	check(stats.stalls == 1, "%llu stalls", stats.stalls);
	check(!stats.overruns, "%llu overruns", stats.overruns);
	check(hash(channel.map, channel.map_size) == sum, "something has changed");
	point("stall: nothing is taken back");

	for (uint64_t n = 0; n < 20 * BLOCK_COUNT; n++) {
		block = read_one(&channel);
		check(block.sequence == n && !block.lost, "sequence %llu, lost %llu",
		      block.sequence, block.lost);
		check_content(&channel, &block);
		if (n)
			check(stream_offset(&channel, &block) == offset, "other content");
		offset = stream_offset(&channel, &block) + block.length;
		recycle(&channel, block.index);
		if (n % BLOCK_COUNT == 0)
			sleep_ms(20);
	}
	check(!channel_stats(&channel).overruns, "overruns");
	channel_close(&channel);
	point("and it goes on without a loss");
}

/* STATS from another thread, as fast as it can, while blocks go round. */
static atomic_bool watching;

static void *overrun_watch(void *argument)
{
	const struct channel *channel = argument;
	unsigned long wrong = 0, looks = 0;

	while (watching) {
		struct dmacast_stats stats;

		if (ioctl(channel->fd, DMACAST_IOC_STATS, &stats))
			return (void *)-1;
		looks++;
		if (stats.blocks_free + stats.blocks_queued + stats.blocks_ready +
				    stats.blocks_lent + stats.blocks_quarantine !=
			    channel->block_count ||
		    stats.completed < stats.overruns || stats.recycled > stats.lent ||
		    stats.lent - stats.recycled != stats.blocks_lent ||
		    stats.completed - stats.overruns - stats.lent != stats.blocks_ready)
			wrong++;
	}
	return (void *)(looks ? wrong : -2UL);
}

static void test_overrun_sum(uint32_t flags)
{
	struct channel channel = channel_run(4 * KIB, 32, flags);
	struct dmacast_block blocks[32];
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 2 * NS_PER_S;
	pthread_t thread;
	void *wrong;

	watching = true;
	need(!pthread_create(&thread, NULL, overrun_watch, &channel), "no thread");
	for (unsigned int n = 0; clock_ns(CLOCK_MONOTONIC) < end; n++) {
		unsigned int count = channel_read(&channel, blocks, 1 + n % 32, 20);

		check(count == 1 + n % 32, "%u blocks", count);
		for (unsigned int i = 0; i < count; i++)
			recycle(&channel, blocks[i].index);
		if (n % 64 == 0)
			sleep_ms(10);
	}
	watching = false;
	pthread_join(thread, &wrong);
	check(wrong == NULL, "%ld times", (long)(intptr_t)wrong);
	channel_close(&channel);
	point("at every moment, the states add up: %s", flags ? "stall" : "drop-oldest");
}

static void test_sysfs(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
	struct dmacast_block blocks[5];
	struct dmacast_stats stats;

	need(channel_read(&channel, blocks, 5, 20) == 5, "no blocks");
	recycle(&channel, blocks[1].index);
	recycle(&channel, blocks[2].index);
	need(wait_for(&channel, overruns, 3, 20), "no overrun");
	channel_stop(&channel);
	stats = channel_stats(&channel);
	check(stats.lent == 5 && stats.recycled == 2, "lent %llu, recycled %llu", stats.lent,
	      stats.recycled);
#define same(name)                                                                  \
	check(sysfs_value(#name) == stats.name, #name ": %" PRIu64 ", STATS: %llu", \
	      sysfs_value(#name), (unsigned long long)stats.name)
	same(completed);
	same(bytes);
	same(lent);
	same(recycled);
	same(overruns);
	same(stalls);
	same(errors);
	same(short_transfers);
	same(quarantined);
	same(replaced);
	same(blocks_free);
	same(blocks_queued);
	same(blocks_ready);
	same(blocks_lent);
	same(blocks_quarantine);
	same(running);
	check(sysfs_value("block_size") == BLOCK_SIZE, "block_size");
	check(sysfs_value("block_count") == BLOCK_COUNT, "block_count");
	channel_close(&channel);
	point("sysfs has what STATS has");
}

static void test_lossy(void)
{
	struct channel channel;
	struct dmacast_block blocks[BLOCK_COUNT], block;
	uint64_t offset;

	sim("rate", "%u", 4000000);
	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	sim("lossy", "1");
	need(channel_read(&channel, blocks, BLOCK_COUNT, 20) == BLOCK_COUNT, "not all came");
	offset = stream_offset(&channel, &blocks[BLOCK_COUNT - 1]) + BLOCK_SIZE;
	sleep_ms(500);
	recycle(&channel, blocks[0].index);
	block = read_one(&channel);
	/* What the engine had no memory for, nobody counts, but it is no repetition. */
	check(stream_offset(&channel, &block) > offset, "nothing was lost");
	check_content(&channel, &block);
	check(block.sequence == BLOCK_COUNT && !block.lost, "sequence %llu, lost %llu",
	      block.sequence, block.lost);
	check(channel_stats(&channel).stalls >= 1, "no stall");
	channel_close(&channel);
	sim("lossy", "0");
	sim("rate", "0");
	point("an engine that does not wait");
}

/* The simulator complains, in the kernel's log, of what was prepared before and submitted after a stop. */
static void test_overrun_stop(void)
{
	struct channel channel = channel_open();

	channel_setup(&channel, page_size, BLOCK_COUNT, 0);
	channel_stop_often(&channel, 200);
	channel_close(&channel);
	point("stopped while the oldest blocks are taken back, again and again");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	test_drop_oldest();
	test_all_lent();
	test_stall();
	test_overrun_sum(0);
	test_overrun_sum(DMACAST_SETUP_STALL);
	test_sysfs();
	test_lossy();
	test_overrun_stop();
	return tap_end();
}
