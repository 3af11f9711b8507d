// SPDX-License-Identifier: BSD-2-Clause
/* Transfers that fail, end early, pause, or come all at once. */
#include "channel.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (20 * KIB)
#define BLOCK_COUNT 12U

/* Nothing is lost for want of a block: what is lost, is lost by a fault. */
static struct channel faults_run(void)
{
	return channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
}

/* drain() - read and give back until @count blocks have come whose record is as always. */
static void faults_drain(const struct channel *channel, unsigned int count)
{
	for (unsigned int n = 0; n < count; n++) {
		struct dmacast_block block = read_one(channel);

		check(!block.flags && !block.lost && block.length == BLOCK_SIZE,
		      "flags %x, lost %llu, length %llu", block.flags, block.lost, block.length);
		check_content(channel, &block);
		recycle(channel, block.index);
	}
}

static void test_faults_errors(unsigned int errors)
{
	struct channel channel = faults_run();
	struct dmacast_block block;
	struct dmacast_stats stats;
	uint64_t last = 0, lost = 0;
	unsigned int after_error = 0;

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	sim("error", "%u", errors);
	for (unsigned int n = 0; n < BLOCK_COUNT; n++) {
		block = read_one(&channel);
		check(!block.lost && !block.flags, "lost %llu, flags %x", block.lost, block.flags);
		last = block.sequence;
		recycle(&channel, block.index);
	}
	while (lost < errors) {
		block = read_one(&channel);
		check(block.sequence == last + 1 + block.lost,
		      "sequence %llu after %" PRIu64 ", lost %llu", block.sequence, last,
		      block.lost);
		check(!!(block.flags & DMACAST_BLOCK_AFTER_ERROR) == !!block.lost,
		      "flags %x, lost %llu", block.flags, block.lost);
		check(!(block.flags & ~DMACAST_BLOCK_AFTER_ERROR), "flags %x", block.flags);
		check_content(&channel, &block);
		after_error += block.lost != 0;
		lost += block.lost;
		last = block.sequence;
		recycle(&channel, block.index);
		if (!check(last < 100 + 2 * errors, "no trace of the errors"))
			break;
	}
	check(lost == errors, "lost %" PRIu64, lost);
	check(after_error >= 1, "no record says so");
	faults_drain(&channel, 2 * BLOCK_COUNT);
	channel_stop(&channel);
	stats = channel_stats(&channel);
	check(stats.errors == errors, "%llu errors", stats.errors);
	check(!stats.short_transfers && !stats.overruns, "short %llu, overruns %llu",
	      stats.short_transfers, stats.overruns);
	check(!stats.blocks_quarantine, "in quarantine: %u", stats.blocks_quarantine);
	check(sysfs_value("errors") == errors, "sysfs: %" PRIu64, sysfs_value("errors"));
	check(stats.bytes == stats.completed * BLOCK_SIZE,
	      "bytes %llu, of %llu completed, count what failed", stats.bytes, stats.completed);
	channel_close(&channel);
	point("%u errors, and it goes on", errors);
}

static void test_short(unsigned int count, unsigned int length)
{
	struct channel channel = faults_run();
	struct dmacast_block block;
	struct dmacast_stats stats;
	uint64_t last = 0, records = 0, gone = 0, bytes = 0;

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	sim("short", "%u %u", count, length);
	for (unsigned int n = 0; n < BLOCK_COUNT; n++) {
		block = read_one(&channel);
		last = block.sequence;
		bytes += block.length;
		recycle(&channel, block.index);
	}
	while (length ? records < count : gone < count) {
		block = read_one(&channel);
		check(block.sequence == last + 1 + block.lost,
		      "sequence %llu after %" PRIu64 ", lost %llu", block.sequence, last,
		      block.lost);
		gone += block.lost;
		if (block.flags & DMACAST_BLOCK_SHORT) {
			records++;
			check(block.length == length, "length %llu", block.length);
		} else {
			check(block.length == BLOCK_SIZE, "length %llu, and no flag", block.length);
		}
		check(!(block.flags & DMACAST_BLOCK_AFTER_ERROR), "flags %x", block.flags);
		if (block.length >= 16)
			check_content(&channel, &block);
		last = block.sequence;
		bytes += block.length;
		recycle(&channel, block.index);
		if (!check(last < 100 + 2 * count, "no trace of them"))
			break;
	}
	if (length)
		check(records == count && !gone, "%" PRIu64 " records, lost %" PRIu64, records,
		      gone);
	else
		check(!records && gone == count, "%" PRIu64 " records, lost %" PRIu64, records,
		      gone);
	faults_drain(&channel, BLOCK_COUNT);
	bytes += BLOCK_COUNT * BLOCK_SIZE;
	channel_stop(&channel);
	while (read(channel.fd, &block, sizeof(block)) == sizeof(block))
		bytes += block.length;
	stats = channel_stats(&channel);
	check(stats.short_transfers == count, "%llu short transfers", stats.short_transfers);
	check(!stats.errors, "%llu errors", stats.errors);
	check(stats.bytes == bytes, "bytes %llu, not %" PRIu64, stats.bytes, bytes);
	channel_close(&channel);
	point("%u transfers that end after %u bytes", count, length);
}

static void test_mixed(void)
{
	struct channel channel = faults_run();
	struct dmacast_block block;
	uint64_t next = 0, lost = 0, shorts = 0;
	struct dmacast_stats stats;

	for (unsigned int round = 0; round < 40; round++) {
		sim("error", "%u", round % 5 + 1);
		sim("short", "%u %u", round % 3 + 1, 1000 + round * 8);
		for (unsigned int n = 0; n < 2 * BLOCK_COUNT; n++) {
			block = read_one(&channel);
			check(block.sequence == next + block.lost, "sequence %llu, lost %llu",
			      block.sequence, block.lost);
			check(!!(block.flags & DMACAST_BLOCK_SHORT) == (block.length < BLOCK_SIZE),
			      "flags %x, length %llu", block.flags, block.length);
			check(!!(block.flags & DMACAST_BLOCK_AFTER_ERROR) == !!block.lost,
			      "flags %x, lost %llu", block.flags, block.lost);
			check_content(&channel, &block);
			next = block.sequence + 1;
			lost += block.lost;
			shorts += !!(block.flags & DMACAST_BLOCK_SHORT);
			recycle(&channel, block.index);
		}
	}
	sim("error", "0");
	sim("short", "0 0");
	channel_stop(&channel);
	stats = channel_stats(&channel);
	check(lost > 40 && shorts > 40, "lost %" PRIu64 ", short %" PRIu64, lost, shorts);
	check(stats.errors >= lost && stats.errors <= lost + BLOCK_COUNT, "%llu errors",
	      stats.errors);
	check(stats.short_transfers >= shorts && stats.short_transfers <= shorts + BLOCK_COUNT,
	      "%llu short transfers", stats.short_transfers);
	channel_close(&channel);
	point("both, again and again");
}

/* An error or a short block that nobody reads in time is an overrun like any other. */
static void test_with_overrun(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
	struct dmacast_block block;
	uint64_t next = 0, lost = 0, records = 0;
	struct dmacast_stats stats;

	for (unsigned int round = 0; round < 10; round++) {
		sim("error", "3");
		sleep_ms(50);
		for (unsigned int n = 0; n < BLOCK_COUNT; n++) {
			block = read_one(&channel);
			check(block.sequence == next + block.lost, "sequence %llu, lost %llu",
			      block.sequence, block.lost);
			check(block.lost || !(block.flags & DMACAST_BLOCK_AFTER_ERROR),
			      "flags %x, and nothing lost", block.flags);
			check_content(&channel, &block);
			next = block.sequence + 1;
			lost += block.lost;
			records++;
			recycle(&channel, block.index);
		}
	}
	channel_stop(&channel);
	while (read(channel.fd, &block, sizeof(block)) == sizeof(block)) {
		next = block.sequence + 1;
		lost += block.lost;
		records++;
	}
	stats = channel_stats(&channel);
	check(records + lost == next, "%" PRIu64 " records, %" PRIu64 " lost, of %" PRIu64, records,
	      lost, next);
	/* The last ones may have failed: they took a number, but no record came after them. */
	check(stats.completed + stats.errors >= next &&
		      stats.completed + stats.errors <= next + BLOCK_COUNT,
	      "completed %llu, errors %llu, of %" PRIu64, stats.completed, stats.errors, next);
	check(stats.errors == 30, "%llu errors", stats.errors);
	channel_close(&channel);
	point("errors and overrun together");
}

static void test_pause(void)
{
	struct channel channel = faults_run();
	uint64_t before;

	faults_drain(&channel, BLOCK_COUNT);
	sim("stall", "700");
	before = clock_ns(CLOCK_MONOTONIC);
	faults_drain(&channel, 3 * BLOCK_COUNT);
	check(clock_ns(CLOCK_MONOTONIC) - before > 400 * NS_PER_MS, "there was no pause");
	channel_close(&channel);
	point("a pause");

	sim("rate", "%u", 200000);
	channel = faults_run();
	faults_drain(&channel, 1);
	sim("burst", "%u", BLOCK_COUNT - 2);
	faults_drain(&channel, 2 * BLOCK_COUNT);
	channel_close(&channel);
	sim("rate", "0");
	point("a burst");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	test_faults_errors(1);
	test_faults_errors(3);
	test_faults_errors(BLOCK_COUNT);
	test_faults_errors(200);
	test_short(1, 4096);
	test_short(3, 1000);
	test_short(2, 8);
	test_short(4, BLOCK_SIZE - 8);
	test_short(100, 5000);
	test_short(1, 0);
	test_short(20, 0);
	test_mixed();
	test_with_overrun();
	test_pause();
	return tap_end();
}
