// SPDX-License-Identifier: BSD-2-Clause
/*
 * The fault injection of the kernel (/proc/thread-self/fail-nth) for each call: the n-th allocation or copy of
 * user memory fails, for n = 1, 2, ..., until the call has no n-th one. The error is one that dmacast.h or the
 * call's manual names, nothing is lost by it, and the ring works after it. The faults in fault.h reach the
 * module's own allocations only; these reach everything that the kernel does for it.
 */
#include "channel.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define FAIL_NTH "/proc/thread-self/fail-nth"
#define DEBUG "/sys/kernel/debug/"

/* Several pages and not a power of two. */
#define BLOCK_SIZE (20 * KIB)
#define BLOCK_COUNT 4U
/* No call has as many fault points. */
#define ENOUGH 4000U
#define MAX_ERRORS 4

static int fail_nth;

/* ---- Faults ---- */

/* arm() - writing the number is itself a copy that can fail, if another number was left. */
static void failnth_arm(unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth), tries;

	for (tries = 0; tries < 5 && pwrite(fail_nth, text, length, 0) != length; tries++)
		;
	need(tries < 5, FAIL_NTH ": %m");
}

/* disarm() - return true if the fault was injected. A read that fails was the n-th copy itself. */
static bool failnth_disarm(void)
{
	char text[16] = "";
	ssize_t length = pread(fail_nth, text, sizeof(text) - 1, 0);

	failnth_arm(0);
	return length > 0 && atoi(text) == 0;
}

/* Let allocations fail that may sleep, or are of one page; print no stack for each. */
static void configure_faults(void)
{
	static const struct {
		const char *path, *text;
	} settings[] = {
		{ DEBUG "failslab/verbose", "0" },
		{ DEBUG "failslab/ignore-gfp-wait", "N" },
		{ DEBUG "fail_page_alloc/verbose", "0" },
		{ DEBUG "fail_page_alloc/ignore-gfp-wait", "N" },
		{ DEBUG "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ DEBUG "fail_page_alloc/min-order", "0" },
		{ DEBUG "fail_usercopy/verbose", "0" },
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		need(write_file(settings[i].path, settings[i].text), "%s: %m", settings[i].path);
	fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	need(fail_nth >= 0, FAIL_NTH ": %m");
}

/* ---- The calls ---- */

/* The channel, and results of the call. */
struct attempt {
	struct channel channel;
	struct dmacast_block blocks[2];
	uint64_t next_sequence;
	int signal;
};

struct call {
	const char *name;
	/* Brings the channel into the state that the call needs. */
	void (*prepare)(struct attempt *attempt);
	/* Returns -1 with errno for a failure. */
	long (*make)(struct attempt *attempt);
	/* Checks what the call left, after @error (0: success), and brings the channel back. */
	void (*finish)(struct attempt *attempt, long result, int error);
	int errors[MAX_ERRORS];
};

static void held(const struct attempt *attempt, const char *when)
{
	check_held(attempt->channel.block_size * attempt->channel.block_count, when);
}

static void open_only(struct attempt *attempt)
{
	attempt->channel = channel_open();
}

static void open_empty(struct attempt *attempt)
{
	open_only(attempt);
	channel_setup(&attempt->channel, 0, 0, 0);
}

static void failnth_open_ring(struct attempt *attempt)
{
	open_only(attempt);
	channel_setup(&attempt->channel, BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
}

static void open_mapped(struct attempt *attempt)
{
	failnth_open_ring(attempt);
	channel_map(&attempt->channel);
}

static void open_running(struct attempt *attempt)
{
	open_mapped(attempt);
	channel_start(&attempt->channel);
	need(wait_for(&attempt->channel, blocks_ready, BLOCK_COUNT, 20),
	     "the blocks are not filled");
	attempt->next_sequence = 0;
}

static void open_lent(struct attempt *attempt)
{
	open_running(attempt);
	for (unsigned int i = 0; i < 2; i++)
		attempt->blocks[i] = read_one(&attempt->channel);
	attempt->next_sequence = 2;
}

/* go_on() - the whole ring works, from the state that the call left: no block is lent. */
static void failnth_continue(struct attempt *attempt)
{
	struct channel *channel = &attempt->channel;

	if (!channel->map)
		channel_map(channel);
	if (!channel_stats(channel).running)
		channel_start(channel);
	channel_go_round(channel);
	check(!channel_stats(channel).quarantined, "blocks were in quarantine");
	held(attempt, "running");
	channel_stop(channel);
	channel_close(channel);
}

/* ---- open, close ---- */

static void failnth_nothing(struct attempt *attempt)
{
	attempt->channel = (struct channel){ .fd = -1 };
}

static long make_open(struct attempt *attempt)
{
	attempt->channel.fd = open(device, O_RDWR | O_CLOEXEC);
	return attempt->channel.fd;
}

static void finish_open(struct attempt *attempt, long result, int error)
{
	(void)error;
	if (result >= 0)
		channel_close(&attempt->channel);
	failnth_open_ring(attempt);
	failnth_continue(attempt);
}

/* A mapping would keep the file open. */
static void open_lent_unmapped(struct attempt *attempt)
{
	open_lent(attempt);
	channel_unmap(&attempt->channel);
}

static long make_close(struct attempt *attempt)
{
	return close(attempt->channel.fd);
}

/* ---- ioctl ---- */

static long make_info(struct attempt *attempt)
{
	struct dmacast_info info;

	return ioctl(attempt->channel.fd, DMACAST_IOC_INFO, &info);
}

static long make_stats(struct attempt *attempt)
{
	struct dmacast_stats stats;

	return ioctl(attempt->channel.fd, DMACAST_IOC_STATS, &stats);
}

static void finish_with_ring(struct attempt *attempt, long result, int error)
{
	(void)result;
	(void)error;
	failnth_continue(attempt);
}

static void finish_with_lent(struct attempt *attempt, long result, int error)
{
	for (unsigned int i = 0; i < 2; i++)
		recycle(&attempt->channel, attempt->blocks[i].index);
	finish_with_ring(attempt, result, error);
}

static long make_setup(struct attempt *attempt)
{
	return try_setup(&attempt->channel, BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
}

static long make_setup_contiguous(struct attempt *attempt)
{
	return try_setup(&attempt->channel, BLOCK_SIZE, BLOCK_COUNT,
			 DMACAST_SETUP_STALL | DMACAST_SETUP_CONTIGUOUS);
}

static long make_setup_free(struct attempt *attempt)
{
	return try_setup(&attempt->channel, 0, 0, 0);
}

/* The ring of before is gone when there was no memory. */
static void finish_setup(struct attempt *attempt, long result, int error)
{
	(void)result;
	if (error == ENOMEM)
		check_held(0, "after the failure");
	channel_setup(&attempt->channel, BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	held(attempt, "set up again");
	failnth_continue(attempt);
}

static long make_start(struct attempt *attempt)
{
	return ioctl(attempt->channel.fd, DMACAST_IOC_START);
}

static void finish_start(struct attempt *attempt, long result, int error)
{
	struct dmacast_stats stats = channel_stats(&attempt->channel);

	(void)error;
	check(stats.running == (result == 0), "running is %u", stats.running);
	failnth_continue(attempt);
}

static long make_stop(struct attempt *attempt)
{
	return ioctl(attempt->channel.fd, DMACAST_IOC_STOP);
}

/* ---- mmap, page faults ---- */

static long make_mmap(struct attempt *attempt)
{
	void *map = mmap(NULL, attempt->channel.map_size, PROT_READ, MAP_SHARED,
			 attempt->channel.fd, 0);

	if (map == MAP_FAILED)
		return -1;
	attempt->channel.map = map;
	return 0;
}

static long make_munmap(struct attempt *attempt)
{
	return munmap((void *)(uintptr_t)attempt->channel.map, attempt->channel.map_size);
}

static void finish_munmap(struct attempt *attempt, long result, int error)
{
	if (!result)
		attempt->channel.map = NULL;
	finish_with_ring(attempt, result, error);
}

static long make_touch(struct attempt *attempt)
{
	const struct channel *channel = &attempt->channel;

	attempt->signal = 0;
	for (uint64_t at = 0; at < channel->map_size && !attempt->signal; at += page_size)
		attempt->signal = touch(channel->map + at);
	return 0;
}

/* The kernel repeats a fault that lacked memory. */
static void finish_touch(struct attempt *attempt, long result, int error)
{
	check(!attempt->signal, "signal %d", attempt->signal);
	finish_with_ring(attempt, result, error);
}

/* ---- poll, read, write ---- */

static long make_poll(struct attempt *attempt)
{
	struct pollfd wanted = { .fd = attempt->channel.fd, .events = POLLIN };
	int result = poll(&wanted, 1, 1000);

	check(result < 0 || wanted.revents == POLLIN, "revents are 0x%x", wanted.revents);
	return result;
}

static long make_read(struct attempt *attempt)
{
	return read(attempt->channel.fd, attempt->blocks, sizeof(attempt->blocks));
}

/* Records that were not returned are not lost. */
static void finish_read(struct attempt *attempt, long result, int error)
{
	const struct channel *channel = &attempt->channel;
	unsigned int count = result > 0 ? result / sizeof(attempt->blocks[0]) : 0;

	check(result < 0 || (count && result % sizeof(attempt->blocks[0]) == 0), "read gave %ld",
	      result);
	check(channel_stats(channel).blocks_lent == count, "%u are lent, not %u",
	      channel_stats(channel).blocks_lent, count);
	while (count < 2)
		attempt->blocks[count++] = read_one(channel);
	for (unsigned int i = 0; i < 2; i++) {
		check(attempt->blocks[i].sequence == i && !attempt->blocks[i].lost,
		      "record %u has sequence %llu, lost %llu", i, attempt->blocks[i].sequence,
		      attempt->blocks[i].lost);
		check_content(channel, &attempt->blocks[i]);
	}
	finish_with_lent(attempt, result, error);
}

static long make_write(struct attempt *attempt)
{
	uint32_t indices[2] = { attempt->blocks[0].index, attempt->blocks[1].index };

	return write(attempt->channel.fd, indices, sizeof(indices));
}

static void finish_write(struct attempt *attempt, long result, int error)
{
	const struct channel *channel = &attempt->channel;
	unsigned int count = result > 0 ? result / sizeof(uint32_t) : 0;

	check(channel_stats(channel).recycled == count, "%llu were recycled, not %u",
	      channel_stats(channel).recycled, count);
	while (count < 2)
		recycle(channel, attempt->blocks[count++].index);
	finish_with_ring(attempt, result, error);
}

/* ---- All of them ---- */

static bool is_documented(const struct call *call, int error)
{
	for (unsigned int i = 0; i < MAX_ERRORS; i++) {
		if (call->errors[i] == error)
			return true;
	}
	return false;
}

static void test_call(const struct call *call)
{
	unsigned int nth, failures = 0;
	bool injected = true;

	for (nth = 1; injected && nth < ENOUGH; nth++) {
		struct attempt attempt;
		long result;
		int error;

		call->prepare(&attempt);
		failnth_arm(nth);
		result = call->make(&attempt);
		error = result < 0 ? errno : 0;
		injected = failnth_disarm();
		if (error) {
			check(injected, "without a fault: %s", strerror(error));
			check(is_documented(call, error), "fault %u: %s", nth, strerror(error));
			failures++;
		}
		call->finish(&attempt, result, error);
		if (attempt.channel.fd >= 0)
			channel_close(&attempt.channel);
	}
	check(nth < ENOUGH, "there is no end of faults");
	point("%s: %u faults, %u of them made it fail", call->name, nth - 2, failures);
}

static void finish_close(struct attempt *attempt, long result, int error)
{
	check(!result, "close: %s", strerror(error));
	failnth_open_ring(attempt);
	failnth_continue(attempt);
}

static const struct call calls[] = {
	{ "open", failnth_nothing, make_open, finish_open, { ENOMEM, ENFILE, EFAULT } },
	{ "INFO", failnth_open_ring, make_info, finish_with_ring, { EFAULT } },
	{ "STATS", open_lent, make_stats, finish_with_lent, { EFAULT } },
	{ "SETUP", open_empty, make_setup, finish_setup, { ENOMEM, EFAULT } },
	{ "SETUP, contiguous",
	  open_empty,
	  make_setup_contiguous,
	  finish_setup,
	  { ENOMEM, EFAULT } },
	{ "SETUP of another ring",
	  failnth_open_ring,
	  make_setup_contiguous,
	  finish_setup,
	  { ENOMEM, EFAULT } },
	{ "SETUP of nothing", failnth_open_ring, make_setup_free, finish_setup, { EFAULT } },
	{ "mmap", failnth_open_ring, make_mmap, finish_with_ring, { ENOMEM } },
	{ "page faults", open_mapped, make_touch, finish_touch, { 0 } },
	{ "START", open_mapped, make_start, finish_start, { EIO } },
	{ "poll", open_running, make_poll, finish_with_ring, { ENOMEM, EFAULT, EAGAIN } },
	{ "read", open_running, make_read, finish_read, { EFAULT } },
	{ "write", open_lent, make_write, finish_write, { EFAULT } },
	{ "STOP", open_running, make_stop, finish_with_ring, { 0 } },
	{ "munmap", open_mapped, make_munmap, finish_munmap, { ENOMEM } },
	{ "close while it runs", open_lent_unmapped, make_close, finish_close, { 0 } },
};

int main(int argc, char **argv)
{
	begin(argc, argv);
	if (access(FAIL_NTH, F_OK)) {
		tap_skip("faults in every call", "this kernel injects none");
		return tap_end();
	}
	configure_faults();
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		test_call(&calls[i]);
	return tap_end();
}
