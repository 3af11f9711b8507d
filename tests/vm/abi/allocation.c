// SPDX-License-Identifier: BSD-2-Clause
/*
 * Each allocation of the module fails, one after the other (kmod/fault.h; a module built with
 * DMACAST_FAULT=y): the n-th one in an operation for n = 1, 2, ..., until the operation has no n-th
 * one. Every time the error is the documented one, no page is left behind, and the ring works after it.
 */
#include "channel.h"

#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define PARAMETERS "/sys/module/dmacast/parameters/"
#define DRIVER "/sys/bus/platform/drivers/dmacast"

#define BLOCK_SIZE (100 * KIB)
#define BLOCK_COUNT 4U
/* No operation here has as many allocations. */
#define ENOUGH 500U

/* ---- The faults ---- */

static void allocation_arm(unsigned int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	need(write_file(PARAMETERS "fail_nth", text), PARAMETERS "fail_nth: %m");
}

static bool allocation_has_failed(void)
{
	return number_from(PARAMETERS "fail_nth") == 0;
}

/* disarm() - Return: has it failed? */
static bool allocation_disarm(void)
{
	bool failed = allocation_has_failed();

	allocation_arm(0);
	return failed;
}

/* ---- The ring works ---- */

static void allocation_check_works(struct channel *channel, uint64_t size, uint32_t count,
				   uint32_t flags)
{
	channel_setup(channel, size, count, flags | DMACAST_SETUP_STALL);
	check_held(size * count, "set up again");
	channel_map(channel);
	channel_start(channel);
	channel_go_round(channel);
	channel_stop(channel);
	channel_unmap(channel);
}

static void allocation_free_ring(struct channel *channel)
{
	channel_setup(channel, 0, 0, 0);
	check_held(0, "freed");
}

/* ---- SETUP ---- */

/*
 * If a large run is not available, smaller ones suffice: up to @harmless failures may have no effect on
 * a scattered block.
 */
static void test_allocation_setup(uint64_t size, uint32_t flags, unsigned int harmless)
{
	static unsigned int told;
	struct channel channel = channel_open();
	unsigned int nth, failures = 0, successes = 0;
	int kmsg = kmsg_open();

	allocation_free_ring(&channel);
	for (nth = 1; nth < ENOUGH; nth++) {
		int result, error;
		bool failed;

		allocation_arm(nth);
		result = try_setup(&channel, size, BLOCK_COUNT, flags);
		error = errno;
		failed = allocation_disarm();
		if (!failed && check(!result, "SETUP without a fault: %s", strerror(error)))
			break;
		if (result) {
			check(error == ENOMEM, "allocation %u: errno %d", nth, error);
			check_held(0, "after the failure");
			failures++;
			/* Of the lines that come too fast the kernel leaves out some. */
			if (told++ < 6)
				check(kmsg_says(kmsg, ": no memory "), "no word of it in the log");
		} else {
			check_held(size * BLOCK_COUNT, "with smaller runs");
			successes++;
		}
		allocation_check_works(&channel, size, BLOCK_COUNT, flags);
		allocation_free_ring(&channel);
	}
	check(nth < ENOUGH, "there is no end of allocations");
	/* The ring's own, and for each block two lists, the table, the mapping, and its pages. */
	check(failures >= 1 + 5 * BLOCK_COUNT, "only %u failures", failures);
	check(successes <= harmless * BLOCK_COUNT, "%u times it did not fail", successes);
	close(kmsg);
	channel_close(&channel);
	point("SETUP, blocks of %" PRIu64
	      " bytes%s: %u allocations, %u for which there is another way",
	      size, flags & DMACAST_SETUP_CONTIGUOUS ? ", contiguous" : "", nth - 1, successes);
}

/* ---- START, and transfers while it runs ---- */

static void test_submission(void)
{
	struct channel channel = channel_open();
	unsigned int nth, refused = 0, retried = 0;
	int kmsg = kmsg_open();

	for (nth = 1; nth < ENOUGH; nth++) {
		uint64_t next = 0;
		int result;

		channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
		channel_map(&channel);
		for (unsigned int i = 0; i < BLOCK_COUNT; i++)
			touch(channel.map + i * channel.stride);
		allocation_arm(nth);
		errno = 0;
		result = ioctl(channel.fd, DMACAST_IOC_START);
		if (result) {
			check(errno == EIO, "START: errno %d", errno);
			check(kmsg_says(kmsg, "takes no transfer"), "no word of it in the log");
			check(!channel_stats(&channel).running, "it runs nevertheless");
			refused++;
			channel_start(&channel);
		}
		for (unsigned int n = 0; n < 2 * BLOCK_COUNT; n++) {
			struct dmacast_block block = read_one(&channel);
			uint64_t offset = stream_offset(&channel, &block);

			check(block.sequence == n && !block.lost, "sequence %llu, lost %llu",
			      block.sequence, block.lost);
			check(!n || offset == next, "a piece of the stream is lost");
			next = offset + block.length;
			check_content(&channel, &block);
			recycle(&channel, block.index);
		}
		retried += allocation_has_failed() && !result;
		channel_go_round(&channel);
		check_held(BLOCK_SIZE * BLOCK_COUNT, "running");
		channel_stop(&channel);
		channel_unmap(&channel);
		if (!allocation_disarm())
			break;
	}
	check(nth < ENOUGH, "there is no end of transfers");
	check(refused == 1, "START failed %u times", refused);
	check(retried >= BLOCK_COUNT, "only %u times a transfer was prepared again", retried);
	allocation_free_ring(&channel);
	close(kmsg);
	channel_close(&channel);
	point("transfers that cannot be prepared: START, and %u times while it runs", retried);
}

/* Where a block is taken back for want of a free one, the callback of the transfer before prepares it. */
static void test_submission_in_callback(void)
{
	struct channel channel = channel_open();
	struct dmacast_stats stats;
	unsigned int nth, hits = 0;

	for (nth = BLOCK_COUNT + 1; nth <= 3 * BLOCK_COUNT; nth++) {
		channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
		allocation_arm(nth);
		channel_start(&channel);
		check(wait_for(&channel, overruns, 3 * BLOCK_COUNT, 20), "it has stopped");
		hits += allocation_disarm();
		channel_stop(&channel);
		stats = channel_stats(&channel);
		check(stats.blocks_free + stats.blocks_ready == BLOCK_COUNT,
		      "%u free and %u ready blocks", stats.blocks_free, stats.blocks_ready);
	}
	check(hits == 2 * BLOCK_COUNT, "only %u were hit", hits);
	allocation_check_works(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
	allocation_free_ring(&channel);
	channel_close(&channel);
	point("transfers that cannot be prepared in a callback");
}

/* ---- Mapping ---- */

static void test_mapping(uint32_t flags)
{
	struct channel channel = channel_open();
	unsigned int nth;

	channel_setup(&channel, BLOCK_SIZE, 2, flags | DMACAST_SETUP_STALL);
	for (nth = 1; nth < ENOUGH; nth++) {
		allocation_arm(nth);
		channel_map(&channel);
		for (unsigned int i = 0; i < channel.block_count; i++)
			check(!touch(channel.map + i * channel.stride), "a signal");
		if (!allocation_disarm())
			break;
		channel_start(&channel);
		channel_go_round(&channel);
		channel_stop(&channel);
		/* The references add up: none was taken for one of somebody else. */
		check(!channel_stats(&channel).quarantined, "blocks were in quarantine");
		check_held(2 * BLOCK_SIZE, "mapped");
		channel_unmap(&channel);
		channel_setup(&channel, BLOCK_SIZE, 2, flags | DMACAST_SETUP_STALL);
	}
	check(nth == 2 * BLOCK_SIZE / page_size + 1, "%u pages were mapped", nth - 1);
	channel_unmap(&channel);
	allocation_free_ring(&channel);
	channel_close(&channel);
	point("%u page faults%s: the next one is right", nth - 1,
	      flags & DMACAST_SETUP_CONTIGUOUS ? ", contiguous" : "");
}

static void test_open(void)
{
	struct channel channel;

	allocation_arm(1);
	channel = channel_open();
	channel_close(&channel);
	check(!allocation_disarm(), "open() allocates: what if that fails?");
	point("open() and close() allocate nothing");
}

/* ---- The guard ---- */

struct waiting {
	struct channel channel;
	int ends[2];
};

/* wait_in_quarantine() - a channel that is stopped, with one block whose pages are in a pipe. */
static struct waiting wait_in_quarantine(uint32_t flags)
{
	struct waiting waiting = {
		.channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, flags | DMACAST_SETUP_STALL),
	};
	struct channel *channel = &waiting.channel;
	struct dmacast_block block = read_one(channel);
	struct iovec part = { (void *)(uintptr_t)content(channel, &block), page_size };

	need(!pipe2(waiting.ends, O_CLOEXEC), "pipe: %m");
	need(vmsplice(waiting.ends[1], &part, 1, 0) == (ssize_t)page_size, "vmsplice: %m");
	channel_stop(channel);
	recycle(channel, block.index);
	sim("rate", "1");
	channel_start(channel);
	need(wait_for(channel, quarantined, 1, 10), "it is not in quarantine");
	channel_stop(channel);
	return waiting;
}

static void end_waiting(struct waiting *waiting)
{
	close(waiting->ends[0]);
	close(waiting->ends[1]);
	sim("rate", "0");
	channel_start(&waiting->channel);
	channel_go_round(&waiting->channel);
	check(wait_while(&waiting->channel, left_behind, 0, 10), "pages stay left behind");
	check_held(BLOCK_SIZE * BLOCK_COUNT, "at the end");
	channel_unmap(&waiting->channel);
	channel_stop(&waiting->channel);
	allocation_free_ring(&waiting->channel);
	channel_close(&waiting->channel);
}

/* replace_failing() - Return: did the allocation fail? Counts in @failures when there were no pages. */
static bool replace_failing(uint32_t flags, unsigned int nth, unsigned int *failures)
{
	uint64_t start = clock_ns(CLOCK_MONOTONIC);
	struct waiting waiting = wait_in_quarantine(flags);
	int kmsg = kmsg_open();
	bool failed, late;
	uint64_t left;

	allocation_arm(nth);
	late = clock_ns(CLOCK_MONOTONIC) - start > 900 * NS_PER_MS;
	check(wait_for(&waiting.channel, replaced, 1, 20), "no fresh pages");
	left = channel_stats(&waiting.channel).left_behind;
	check(left >= page_size && left <= BLOCK_SIZE, "%" PRIu64 " bytes are left behind", left);
	check_held(BLOCK_SIZE * BLOCK_COUNT + left, "with fresh pages");
	failed = allocation_disarm();
	*failures += kmsg_says(kmsg, "no memory for fresh pages");
	close(kmsg);
	end_waiting(&waiting);
	/* The machine was so slow that the second may have been over before: once more. */
	return late ? replace_failing(flags, nth, failures) : failed;
}

static void test_guard(uint32_t flags, unsigned int least)
{
	unsigned int nth, failures = 0;

	for (nth = 1; nth < ENOUGH && replace_failing(flags, nth, &failures); nth++)
		;
	check(nth < ENOUGH, "there is no end of allocations");
	check(failures == least, "%u failures in the log, not %u", failures, least);
	point("fresh pages%s: %u allocations, %u times there were none until a second later",
	      flags & DMACAST_SETUP_CONTIGUOUS ? ", contiguous" : "", nth - 1, failures);
}

/* ---- Binding ---- */

/* Return true if a write to bind returns ENODEV for every error of a driver's probe: up to Linux 5.13. */
static bool bind_hides_errors(void)
{
	struct utsname kernel;
	unsigned int major, minor;

	need(!uname(&kernel), "uname: %m");
	need(sscanf(kernel.release, "%u.%u", &major, &minor) == 2, "the kernel is %s",
	     kernel.release);
	return major < 5 || (major == 5 && minor < 14);
}

/* Return: how many allocations it takes. */
static unsigned int test_binding(void)
{
	int kmsg = kmsg_open();
	unsigned int nth;

	unbind();
	for (nth = 1; nth < ENOUGH; nth++) {
		struct channel channel;
		char word[80];
		bool bound, failed;
		int error;

		allocation_arm(nth);
		bound = write_file(DRIVER "/bind", platform_device);
		error = errno;
		failed = allocation_disarm();
		if (!failed && check(bound, "without a fault: %s", strerror(error)))
			break;
		check(!bound, "allocation %u: bound nevertheless", nth);
		/* The kernel does not say why it makes no device link. */
		check(error == ENOMEM || (error == EINVAL && kmsg_says(kmsg, "cannot depend on")) ||
			      (error == ENODEV && bind_hides_errors()),
		      "allocation %u: errno %d", nth, error);
		snprintf(word, sizeof(word), "dmacast %s: ", platform_device);
		check(error == EINVAL || kmsg_says(kmsg, word),
		      "allocation %u: no word of it in the log", nth);
		check(access(device, F_OK), "%s is there", device);
		bind_again();
		channel = channel_open();
		allocation_check_works(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
		channel_close(&channel);
		unbind();
		check_held(0, "unbound");
	}
	check(nth < ENOUGH, "there is no end of allocations");
	check(nth > 5, "only %u allocations", nth - 1);
	close(kmsg);
	point("binding: %u allocations", nth - 1);
	return nth - 1;
}

/* ---- Small memory ---- */

/*
 * small_objects() - return the number of kmalloc() objects of at least @least bytes. Free objects that a
 * CPU keeps count as used: a cache of small ones is wrong by some hundred.
 */
static uint64_t small_objects(unsigned int least)
{
	char line[512], name[64];
	uint64_t active, sum = 0;
	unsigned int size;
	glob_t caches;
	FILE *file;

	need(!glob("/sys/kernel/slab/*kmalloc-*/shrink", 0, NULL, &caches), "no slabs in sysfs");
	for (size_t i = 0; i < caches.gl_pathc; i++)
		need(write_file(caches.gl_pathv[i], "1"), "%s: %m", caches.gl_pathv[i]);
	globfree(&caches);
	file = fopen("/proc/slabinfo", "re");
	need(file, "/proc/slabinfo: %m");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %" SCNu64 " %*u %u", name, &active, &size) == 3 &&
		    strstr(name, "kmalloc-") && size >= least)
			sum += active;
	}
	fclose(file);
	return sum;
}

/* check_small() - check that @rounds calls of fail(), whose n-th allocation fails, leak nothing. */
static void check_small(bool (*fail)(const struct channel *channel), const struct channel *channel,
			unsigned int nth, unsigned int rounds, unsigned int least)
{
	int64_t more = INT64_MAX;

	/* What is left behind, is each time. */
	for (unsigned int tries = 0; tries < 2 && more >= rounds / 2; tries++) {
		uint64_t before = small_objects(least);

		for (unsigned int n = 0; n < rounds; n++) {
			allocation_arm(nth);
			check(fail(channel), "it works without allocation %u", nth);
			check(allocation_disarm(), "there is no allocation %u", nth);
		}
		more = small_objects(least) - before;
	}
	check(more < rounds / 2, "allocation %u: %" PRId64 " objects more, after %u failures", nth,
	      more, rounds);
}

static bool fail_setup(const struct channel *channel)
{
	return try_setup(channel, page_size, 2, 0) != 0;
}

static bool fail_binding(const struct channel *channel)
{
	(void)channel;
	return !write_file(DRIVER "/bind", platform_device);
}

static void test_small_memory(unsigned int of_binding)
{
	struct channel channel = channel_open();

	allocation_free_ring(&channel);
	for (unsigned int nth = 1; nth <= 1 + 2 * 5; nth++)
		check_small(fail_setup, &channel, nth, 2000, 16);
	channel_close(&channel);
	point("SETUP that fails again and again: no small memory is lost");

	unbind();
	/* All that a channel consists of is larger. */
	for (unsigned int nth = 1; nth <= of_binding; nth++)
		check_small(fail_binding, NULL, nth, 400, 128);
	bind_again();
	point("binding that fails again and again: no small memory is lost");
}

/* ---- Much memory ---- */

#define BIG_SIZE (8 * MIB)
#define BIG_COUNT 32U
/* What else a machine that does nothing may use meanwhile. */
#define BIG_BOUND (4 * MIB)

/* free_memory() - with the free pages that each CPU has at hand, which are missing in /proc/meminfo. */
static uint64_t free_memory(void)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	uint64_t pages, sum = 0;
	char line[128];

	need(file, "/proc/zoneinfo: %m");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " nr_free_pages %" SCNu64, &pages) == 1 ||
		    sscanf(line, " count: %" SCNu64, &pages) == 1)
			sum += pages;
	}
	fclose(file);
	return sum * page_size;
}

static void test_much_memory(void)
{
	struct channel channel = channel_open();
	uint64_t before, during, after;

	allocation_free_ring(&channel);
	before = free_memory();
	channel_setup(&channel, BIG_SIZE, BIG_COUNT, 0);
	channel_map(&channel);
	for (unsigned int i = 0; i < BIG_COUNT; i++)
		touch(channel.map + i * channel.stride);
	during = free_memory();
	check_held(BIG_SIZE * BIG_COUNT, "a large ring");
	check(during + BIG_SIZE * BIG_COUNT < before + BIG_BOUND, "%llu MiB are free, %llu before",
	      during / MIB, before / MIB);
	channel_unmap(&channel);
	allocation_free_ring(&channel);
	channel_close(&channel);
	after = free_memory();
	check(after + BIG_BOUND > before, "%llu MiB are free, %llu before", after / MIB,
	      before / MIB);
	point("a ring of %llu MiB, and it is gone", BIG_SIZE * BIG_COUNT / MIB);
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	need(!access(PARAMETERS "fail_nth", F_OK), "the module has no fault points");
	test_allocation_setup(page_size, 0, 0);
	test_allocation_setup(BLOCK_SIZE, 0, 2);
	test_allocation_setup(64 * KIB, DMACAST_SETUP_CONTIGUOUS, 0);
	test_allocation_setup(BLOCK_SIZE, DMACAST_SETUP_CONTIGUOUS, 0);
	test_submission();
	test_submission_in_callback();
	test_open();
	test_mapping(0);
	test_mapping(DMACAST_SETUP_CONTIGUOUS);
	test_guard(0, 5);
	test_guard(DMACAST_SETUP_CONTIGUOUS, 5);
	test_small_memory(test_binding());
	test_much_memory();
	return tap_end();
}
