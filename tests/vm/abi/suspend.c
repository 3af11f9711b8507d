// SPDX-License-Identifier: BSD-2-Clause
/* The machine suspends its devices (pm_test) and resumes them while the channel runs, waits, or is stopped. */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (64 * KIB)
#define BLOCK_COUNT 16U
#define RECORD ((ssize_t)sizeof(struct dmacast_block))

static void suspend_and_resume(void)
{
	need(write_file("/sys/power/pm_test", "devices"), "pm_test: %m");
	need(write_file("/sys/power/state", "mem"), "/sys/power/state: %m");
	need(write_file("/sys/power/pm_test", "none"), "pm_test: %m");
}

/* ---- A reader in a thread of its own ---- */

struct reader {
	const struct channel *channel;
	pthread_t thread;
	atomic_bool ended;
	atomic_uint records;
	unsigned int flagged;
	uint64_t next;
	uint64_t lost; /* blocks before the flagged record */
	uint64_t lost_at_all;
};

static void suspend_take(struct reader *reader, const struct dmacast_block *block)
{
	check(block->sequence == reader->next + block->lost,
	      "sequence %llu, lost %llu, after %" PRIu64, block->sequence, block->lost,
	      reader->next);
	check_content(reader->channel, block);
	if (block->flags & DMACAST_BLOCK_AFTER_SUSPEND) {
		reader->flagged++;
		reader->lost = block->lost;
	} else {
		check(!block->flags, "flags %x", block->flags);
	}
	reader->lost_at_all += block->lost;
	reader->next = block->sequence + 1;
	reader->records++;
}

static void *read_all(void *argument)
{
	struct reader *reader = argument;
	struct dmacast_block block;

	while (!reader->ended) {
		ssize_t got = read(reader->channel->fd, &block, sizeof(block));

		if (!check(got == RECORD, "read gave %zd: %m", got))
			break;
		suspend_take(reader, &block);
		recycle(reader->channel, block.index);
	}
	return NULL;
}

static void wait_for_records(const struct reader *reader, unsigned int count)
{
	for (unsigned int ms = 0; ms < 20000 && reader->records < count; ms++)
		sleep_ms(1);
	check(reader->records >= count, "only %u of %u records", reader->records, count);
}

static void test_running(uint32_t flags, const char *name)
{
	struct channel channel;
	struct reader reader = { .channel = &channel };
	struct dmacast_block lent;
	uint64_t sum;

	sim("rate", "4000000");
	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, flags);
	lent = read_one(&channel);
	reader.next = 1;
	sum = hash(content(&channel, &lent), BLOCK_SIZE);
	need(!pthread_create(&reader.thread, NULL, read_all, &reader), "no thread");
	wait_for_records(&reader, 2 * BLOCK_COUNT);
	suspend_and_resume();
	wait_for_records(&reader, reader.records + 4 * BLOCK_COUNT);
	reader.ended = true;
	pthread_join(reader.thread, NULL);
	check(reader.flagged == 1, "%u records are flagged", reader.flagged);
	check(reader.lost >= 1, "no block is lost by it");
	check(channel_stats(&channel).running == 1, "it does not run");
	check(!channel_stats(&channel).errors, "%llu errors", channel_stats(&channel).errors);
	check(hash(content(&channel, &lent), BLOCK_SIZE) == sum, "the lent block has changed");
	recycle(&channel, lent.index);
	channel_stop(&channel);
	channel_close(&channel);
	sim("rate", "0");
	point("%s", name);
}

static void test_suspend_waiting(void)
{
	struct channel channel;
	struct reader reader = { .channel = &channel, .ended = false };

	sim("rate", "1");
	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	need(!pthread_create(&reader.thread, NULL, read_all, &reader), "no thread");
	sleep_ms(200);
	suspend_and_resume();
	check(!reader.records, "a block came by it");
	reader.ended = true;
	sim("rate", "0");
	pthread_join(reader.thread, NULL);
	check(reader.records == 1, "%u records", reader.records);
	check(reader.flagged == 1 && reader.lost >= 1, "%u flagged, %" PRIu64 " lost",
	      reader.flagged, reader.lost);
	channel_close(&channel);
	point("read() waits across it, and gets a block");
}

static void test_suspend_stopped(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct dmacast_block block;

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	channel_stop(&channel);
	suspend_and_resume();
	check(!channel_stats(&channel).running, "it runs");
	for (unsigned int i = 0; i < BLOCK_COUNT; i++) {
		block = read_one(&channel);
		check(block.sequence == i && !block.flags && !block.lost,
		      "sequence %llu, flags %x, lost %llu", block.sequence, block.flags,
		      block.lost);
		check_content(&channel, &block);
		recycle(&channel, block.index);
	}
	refused(read(channel.fd, &block, sizeof(block)), ENODATA);
	channel_start(&channel);
	block = read_one(&channel);
	check_content(&channel, &block);
	channel_close(&channel);
	point("a stopped channel stays stopped, and keeps what is ready");

	/* Nobody has the device open. */
	suspend_and_resume();
	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	block = read_one(&channel);
	check(!block.sequence && !block.flags, "sequence %llu, flags %x", block.sequence,
	      block.flags);
	check_content(&channel, &block);
	channel_close(&channel);
	point("a closed channel");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	if (access("/sys/power/pm_test", W_OK)) {
		printf("1..0 # SKIP this kernel has no /sys/power/pm_test\n");
		return 0;
	}
	test_running(0, "running, drop-oldest");
	test_running(DMACAST_SETUP_STALL, "running, stall");
	test_suspend_waiting();
	test_suspend_stopped();
	return tap_end();
}
