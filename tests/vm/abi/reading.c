// SPDX-License-Identifier: BSD-2-Clause
/* read(): records, their members, and every way in which it fails. */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (16 * KIB)
#define BLOCK_COUNT 8U
#define RECORD ((ssize_t)sizeof(struct dmacast_block))

static int64_t distance(uint64_t from, uint64_t to)
{
	return (int64_t)(to - from);
}

static void test_reading_records(void)
{
	uint64_t start = clock_ns(CLOCK_MONOTONIC), last = start, end, next_offset = 0;
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	uint64_t bytes = 0;
	struct dmacast_stats stats;

	for (uint64_t n = 0; n < 200; n++) {
		struct dmacast_block block = read_one(&channel);
		int64_t apart = distance(clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_REALTIME)) -
				distance(block.monotonic_ns, block.realtime_ns);

		check(block.sequence == n, "sequence %llu, not %" PRIu64, block.sequence, n);
		check(block.lost == 0, "lost %llu", block.lost);
		check(block.flags == 0, "flags %x", block.flags);
		check(block.length == BLOCK_SIZE, "length %llu", block.length);
		check(block.monotonic_ns >= last, "the time goes back");
		check(block.monotonic_ns <= clock_ns(CLOCK_MONOTONIC), "from the future");
		check(apart > -(int64_t)NS_PER_S && apart < (int64_t)NS_PER_S,
		      "the two clocks are %lld ns off", (long long)apart);
		check_content(&channel, &block);
		if (n)
			check(stream_offset(&channel, &block) == next_offset,
			      "block %" PRIu64 " begins at offset %" PRIu64 ", not %" PRIu64, n,
			      stream_offset(&channel, &block), next_offset);
		next_offset = stream_offset(&channel, &block) + block.length;
		last = block.monotonic_ns;
		bytes += block.length;
		recycle(&channel, block.index);
	}
	point("sequence, times, length and content of 200 blocks");

	channel_stop(&channel);
	stats = channel_stats(&channel);
	check(stats.lent == 200, "lent %llu", stats.lent);
	check(stats.recycled == 200, "recycled %llu", stats.recycled);
	check(stats.completed >= 200 && stats.completed <= 200 + BLOCK_COUNT, "completed %llu",
	      stats.completed);
	check(stats.bytes == stats.completed * BLOCK_SIZE && stats.bytes >= bytes, "bytes %llu",
	      stats.bytes);
	check(!stats.errors && !stats.short_transfers && !stats.overruns,
	      "%llu errors, %llu short, %llu overruns", stats.errors, stats.short_transfers,
	      stats.overruns);
	check(!stats.quarantined && !stats.replaced, "%llu quarantined, %llu replaced",
	      stats.quarantined, stats.replaced);
	point("and the counters");
	end = clock_ns(CLOCK_MONOTONIC);
	check(last > start && last < end, "the times are not within the test's");
	channel_close(&channel);

	/* A block's time is that of its completion, not of its read(). */
	sim("rate", "%u", 200000);
	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	wait_for(&channel, completed, 4, 20);
	sleep_ms(300);
	last = 0;
	for (unsigned int n = 0; n < 4; n++) {
		struct dmacast_block block = read_one(&channel);
		double ms = (block.monotonic_ns - last) / 1e6;

		/* 16 KiB at 200 kB/s take 82 ms. */
		if (last)
			check(ms > 20 && ms < 5000, "%.1f ms between two blocks", ms);
		last = block.monotonic_ns;
	}
	check(clock_ns(CLOCK_MONOTONIC) - last > 200 * NS_PER_MS,
	      "the last one is as old as its read");
	channel_close(&channel);
	sim("rate", "0");
	point("times of completion");
}

static void test_reading_several(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct dmacast_block blocks[2 * BLOCK_COUNT];
	bool seen[BLOCK_COUNT] = { false };

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	/* As many as fit: whole ones. */
	memset(blocks, 0x5a, sizeof(blocks));
	check(read(channel.fd, blocks, 3 * RECORD + 47) == 3 * RECORD, "not three records");
	check(((unsigned char *)blocks)[3 * RECORD] == 0x5a, "written behind the last record");
	check(channel_stats(&channel).blocks_lent == 3, "not three are lent");
	/* As many as there are. */
	check(read(channel.fd, blocks + 3, 12 * RECORD) == 5 * RECORD, "not five records");
	for (unsigned int i = 0; i < BLOCK_COUNT; i++) {
		check(blocks[i].sequence == i, "sequence %llu", blocks[i].sequence);
		if (check(blocks[i].index < BLOCK_COUNT, "index %u", blocks[i].index)) {
			check(!seen[blocks[i].index], "block %u twice", blocks[i].index);
			seen[blocks[i].index] = true;
		}
		check(!i || blocks[i].monotonic_ns >= blocks[i - 1].monotonic_ns,
		      "the time goes back");
		check_content(&channel, &blocks[i]);
	}
	check(channel_stats(&channel).blocks_lent == BLOCK_COUNT, "not all are lent");
	channel_close(&channel);
	point("several records at once, oldest first");
}

static void test_bad_buffers(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct dmacast_block blocks[BLOCK_COUNT], *two;
	struct dmacast_stats stats;
	unsigned int lent;
	ssize_t length;

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	refused(read(channel.fd, blocks, 1), EINVAL);
	refused(read(channel.fd, blocks, RECORD - 1), EINVAL);
	refused(read(channel.fd, blocks, 0), EINVAL);
	stats = channel_stats(&channel);
	check(!stats.lent && !stats.blocks_lent, "%llu were lent", stats.lent);
	point("too little room");

	refused(read(channel.fd, null_pointer, RECORD), EFAULT);
	refused(read(channel.fd, wild_pointer, 4 * RECORD), EFAULT);
	refused(read(channel.fd, guarded(0), RECORD), EFAULT);
	refused(read(channel.fd, guarded(RECORD - 1), RECORD), EFAULT);
	refused(read(channel.fd, (void *)(uintptr_t)channel.map, RECORD), EFAULT);
	stats = channel_stats(&channel);
	check(!stats.lent && !stats.blocks_lent && stats.blocks_ready == BLOCK_COUNT,
	      "%llu were lent, %u are ready", stats.lent, stats.blocks_ready);
	/* Room for a record and a half before the bad page. */
	two = guarded(RECORD * 3 / 2);
	length = read(channel.fd, two, 2 * RECORD);
	stats = channel_stats(&channel);
	if (length == -1)
		check(errno == EFAULT && !stats.lent, "errno %d, %llu lent", errno, stats.lent);
	else
		check(length == RECORD && stats.lent == 1 && two[0].sequence == 0,
		      "%zd bytes, %llu lent", length, stats.lent);
	/* None is missing, none comes twice. */
	lent = length == -1 ? 0 : 1;
	check(channel_read(&channel, blocks, BLOCK_COUNT - lent, 10) == BLOCK_COUNT - lent,
	      "some are missing");
	for (unsigned int i = 0; i < BLOCK_COUNT - lent; i++)
		check(blocks[i].sequence == i + lent && !blocks[i].lost, "sequence %llu, lost %llu",
		      blocks[i].sequence, blocks[i].lost);
	channel_close(&channel);
	point("bad pointers: nothing is lent by them");
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void signal_after(unsigned int ms, int flags)
{
	struct sigaction action = { .sa_handler = count_signal, .sa_flags = flags };
	struct itimerval timer = { .it_value = { ms / 1000, ms % 1000 * 1000 } };

	signals = 0;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void test_reading_waiting(void)
{
	struct channel channel = channel_open();
	struct dmacast_block block;
	uint64_t start;

	/* Nothing comes for a long time. */
	sim("rate", "1");
	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
	channel_start(&channel);
	need(!fcntl(channel.fd, F_SETFL, O_NONBLOCK), "fcntl: %m");
	refused(read(channel.fd, &block, RECORD), EAGAIN);
	refused(read(channel.fd, &block, RECORD - 1), EINVAL);
	need(!fcntl(channel.fd, F_SETFL, 0), "fcntl: %m");
	point("O_NONBLOCK");

	start = clock_ns(CLOCK_MONOTONIC);
	signal_after(200, 0);
	refused(read(channel.fd, &block, RECORD), EINTR);
	check(signals == 1, "%d signals", (int)signals);
	check(clock_ns(CLOCK_MONOTONIC) - start > 150 * NS_PER_MS, "it did not wait");
	point("a signal while it waits");

	channel_stop(&channel);
	sim("rate", "%u", 20000);
	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
	channel_start(&channel);
	signal_after(200, SA_RESTART);
	/* 16 KiB at 20 kB/s take 820 ms. */
	check(read(channel.fd, &block, RECORD) == RECORD, "read: %m");
	check(signals == 1, "%d signals while it waited", (int)signals);
	channel_close(&channel);
	sim("rate", "0");
	alarm(300);
	signal(SIGALRM, SIG_DFL);
	point("a signal, and read() goes on waiting");
}

static void test_reading_stopped(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct dmacast_block block;

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	channel_stop(&channel);
	for (unsigned int i = 0; i < BLOCK_COUNT; i++) {
		check(read(channel.fd, &block, RECORD) == RECORD, "read: %m");
		check(block.sequence == i, "sequence %llu", block.sequence);
		check_content(&channel, &block);
		/* Nothing is filled any more. */
		if (i % 2)
			recycle(&channel, block.index);
	}
	refused(read(channel.fd, &block, RECORD), ENODATA);
	need(!fcntl(channel.fd, F_SETFL, O_NONBLOCK), "fcntl: %m");
	refused(read(channel.fd, &block, RECORD), ENODATA);
	check(channel_stats(&channel).blocks_lent == BLOCK_COUNT / 2, "STOP changed what is lent");
	point("after STOP what is ready can be read, then ENODATA");

	/* START goes on where it was. */
	channel_start(&channel);
	block = read_one(&channel);
	check(block.sequence >= BLOCK_COUNT && block.sequence - BLOCK_COUNT == block.lost,
	      "sequence %llu, lost %llu", block.sequence, block.lost);
	check_content(&channel, &block);
	channel_close(&channel);
	point("START again");
}

struct reader {
	struct channel channel;
	pthread_t thread;
	long returned;
	int error;
};

static void *read_in_thread(void *argument)
{
	struct reader *reader = argument;
	struct dmacast_block block;

	reader->returned = read(reader->channel.fd, &block, sizeof(block));
	reader->error = errno;
	return NULL;
}

static void test_reading_stop_wakes(void)
{
	struct reader reader;

	sim("rate", "1");
	reader.channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
	need(!pthread_create(&reader.thread, NULL, read_in_thread, &reader), "no thread");
	sleep_ms(200);
	channel_stop(&reader.channel);
	pthread_join(reader.thread, NULL);
	check(reader.returned == -1 && reader.error == ENODATA, "%ld, errno %d", reader.returned,
	      reader.error);
	channel_close(&reader.channel);
	sim("rate", "0");
	point("STOP ends a read() that waits");
}

/* Two readers: each record goes to one of them. */
#define SHARED_RECORDS 2000U

struct share {
	const struct channel *channel;
	pthread_t thread;
	unsigned int count;
	uint64_t sequences[SHARED_RECORDS];
};

static void *share_in_thread(void *argument)
{
	struct share *share = argument;
	struct dmacast_block block;

	while (share->count < SHARED_RECORDS &&
	       read(share->channel->fd, &block, sizeof(block)) == RECORD) {
		share->sequences[share->count++] = block.sequence;
		if (try_recycle(share->channel, block.index))
			break;
	}
	return NULL;
}

static void test_two_readers(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	static struct share shares[2];
	static unsigned char seen[2 * SHARED_RECORDS + BLOCK_COUNT];
	unsigned int total = 0;

	for (unsigned int i = 0; i < 2; i++) {
		shares[i].channel = &channel;
		need(!pthread_create(&shares[i].thread, NULL, share_in_thread, &shares[i]),
		     "no thread");
	}
	sleep_ms(1000);
	channel_stop(&channel);
	for (unsigned int i = 0; i < 2; i++) {
		pthread_join(shares[i].thread, NULL);
		for (unsigned int n = 0; n < shares[i].count; n++) {
			uint64_t sequence = shares[i].sequences[n];

			if (check(sequence < sizeof(seen), "sequence %" PRIu64, sequence))
				check(!seen[sequence]++, "%" PRIu64 " was read twice", sequence);
		}
		total += shares[i].count;
	}
	check(total > 0, "nothing was read");
	for (unsigned int n = 0; n < total; n++)
		check(seen[n], "%u was not read", n);
	channel_close(&channel);
	point("two threads read: every record once");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	test_reading_records();
	test_reading_several();
	test_bad_buffers();
	test_reading_waiting();
	test_reading_stopped();
	test_reading_stop_wakes();
	test_two_readers();
	return tap_end();
}
