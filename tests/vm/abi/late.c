// SPDX-License-Identifier: BSD-2-Clause
/*
 * An engine whose driver calls back late, and cannot be waited for (no device_synchronize): a call may come
 * when the transfer was terminated, its ring is gone, or the device is unbound. It must not matter.
 *
 *	late DEVICE MS		callbacks come MS milliseconds late
 */
#include "channel.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (16 * KIB)
#define BLOCK_COUNT 8U
#define ROUNDS 20U

static unsigned int late_ms;

static void check_rounds(const struct channel *channel, uint64_t next)
{
	for (unsigned int n = 0; n < 2 * channel->block_count; n++) {
		struct dmacast_block block = read_one(channel);

		check(block.sequence >= next && block.sequence == next + block.lost,
		      "sequence %llu, lost %llu, after %" PRIu64, block.sequence, block.lost, next);
		check_content(channel, &block);
		next = block.sequence + 1;
		recycle(channel, block.index);
	}
}

/* Start it, and wait for a part of the time that a call takes. */
static void begin_transfers(struct channel *channel, unsigned int round)
{
	channel_start(channel);
	sleep_ms(round % 4 * late_ms / 3);
}

static void test_late_stop(void)
{
	struct channel channel = channel_open();
	struct dmacast_stats before, after;

	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
	channel_map(&channel);
	for (unsigned int n = 0; n < ROUNDS; n++) {
		begin_transfers(&channel, n);
		channel_stop(&channel);
		before = channel_stats(&channel);
		check(!before.blocks_queued, "%u queued", before.blocks_queued);
		if (n % 2)
			sleep_ms(2 * late_ms);
		after = channel_stats(&channel);
		check(after.completed == before.completed && after.errors == before.errors,
		      "completed %llu, errors %llu; before it were %llu, %llu", after.completed,
		      after.errors, before.completed, before.errors);
	}
	channel_start(&channel);
	need(channel_stats(&channel).running, "it does not run");
	read_blocks(&channel, 3 * BLOCK_COUNT);
	channel_stop(&channel);
	channel_close(&channel);
	point("STOP, and START again at once or later");
}

static void test_late_setup(void)
{
	struct channel channel = channel_open();

	for (unsigned int n = 0; n < ROUNDS; n++) {
		channel_setup(&channel, (n % 3 + 1) * BLOCK_SIZE, BLOCK_COUNT - n % 2, 0);
		begin_transfers(&channel, n);
		channel_stop(&channel);
	}
	channel_setup(&channel, 0, 0, 0);
	sleep_ms(2 * late_ms);
	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
	channel_map(&channel);
	channel_start(&channel);
	check_rounds(&channel, 0);
	channel_stop(&channel);
	channel_close(&channel);
	point("SETUP of another geometry");
}

static void test_late_unbind(void)
{
	for (unsigned int n = 0; n < ROUNDS; n++) {
		struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);

		sleep_ms(n % 4 * late_ms / 3);
		if (n % 2)
			channel_close(&channel);
		unbind();
		if (n % 2 == 0)
			channel_close(&channel);
		bind_again();
	}
	sleep_ms(2 * late_ms);

	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);

	check_rounds(&channel, 0);
	channel_stop(&channel);
	channel_unmap(&channel);
	channel_setup(&channel, 0, 0, 0);
	channel_close(&channel);
	point("unbind");
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: late DEVICE MS\n");
		return 2;
	}
	begin(argc, argv);
	late_ms = strtoul(argv[2], NULL, 10);
	test_late_stop();
	test_late_setup();
	test_late_unbind();
	return tap_end();
}
