// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the DMA engine can take, and blocks of many sizes, one page to 64 MiB:
 *
 *	limits DEVICE PAGES		blocks of up to PAGES pages
 *
 * SETUP makes blocks that the engine takes, or fails and says why. Where the pages of a block are is
 * looked up in /proc/self/pagemap; the simulated engine counts what is against its limits. The module is
 * one with fault points, which counts pages (kmod/fault.h).
 */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define DMA_BITS "/sys/module/dmacast_sim/parameters/dma_bits"
#define BUS_BITS "/sys/module/dmacast_sim/parameters/bus_bits"
#define SEGMENT_SIZE "/sys/module/dmacast_sim/parameters/max_segment_size"

/* The largest run of pages that the kernel has, on this machine. */
#define LARGEST_RUN (4 * MIB)
/* Of lines of one kind; the kernel writes no more than 10 in 5 s. */
#define LINES 6U

static struct dmacast_info info;
static uint64_t dma_mask;

/* ---- Expected results ---- */

/* fewest_pieces() - of a block that is one run of pages. */
static uint64_t fewest_pieces(uint64_t size)
{
	uint64_t piece = info.max_segment_size;

	/* Pieces end with a page, unless they are less than one. */
	if (piece > page_size)
		piece = piece / page_size * page_size;
	return (size + piece - 1) / piece;
}

static bool can_be(uint64_t size)
{
	return !info.max_segments || fewest_pieces(size) <= info.max_segments;
}

static bool is_contiguous(uint32_t flags)
{
	return (flags & DMACAST_SETUP_CONTIGUOUS) || (info.flags & DMACAST_INFO_CONTIGUOUS);
}

static bool is_power_of_2(uint64_t n)
{
	return !(n & (n - 1));
}

static bool must_fail(uint64_t size, uint32_t flags)
{
	return !can_be(size) || (is_contiguous(flags) && size > LARGEST_RUN);
}

/* Others may be in too many pieces, or not. */
static bool must_work(uint64_t size, uint32_t flags)
{
	return !must_fail(size, flags) &&
	       (!info.max_segments || is_contiguous(flags) ||
		(is_power_of_2(size / page_size) && size <= LARGEST_RUN));
}

/* ---- What there is ---- */

static uint64_t *page_addresses(const struct channel *channel, uint32_t index)
{
	const unsigned char *start = channel->map + index * channel->stride;
	uint64_t pages = channel->block_size / page_size;
	uint64_t *entries = calloc(pages, sizeof(*entries));
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t size = pages * sizeof(*entries);

	need(entries && pagemap >= 0, "/proc/self/pagemap: %m");
	touch(start);
	need(pread(pagemap, entries, size, (uintptr_t)start / page_size * sizeof(*entries)) == size,
	     "/proc/self/pagemap: %m");
	close(pagemap);
	for (uint64_t i = 0; i < pages; i++) {
		need(entries[i] >> 63, "page %" PRIu64 " of block %u is not mapped", i, index);
		entries[i] = (entries[i] & ((1ULL << 55) - 1)) * page_size;
		need(entries[i], "/proc/self/pagemap does not tell");
	}
	return entries;
}

/* Contiguous pages are one piece for the engine, up to its limit. */
static void check_pages(const struct channel *channel, uint32_t index, uint32_t flags)
{
	uint64_t *address = page_addresses(channel, index);
	uint64_t pages = channel->block_size / page_size;
	uint64_t run = page_size, pieces = 0;

	for (uint64_t i = 0; i < pages; i++) {
		check(address[i] + page_size - 1 <= dma_mask, "a page is at 0x%" PRIx64,
		      address[i]);
		if (i + 1 < pages && address[i + 1] == address[i] + page_size) {
			run += page_size;
			continue;
		}
		check(i + 1 == pages || !is_contiguous(flags), "it is not contiguous");
		pieces += fewest_pieces(run);
		run = page_size;
	}
	check(!info.max_segments || pieces <= info.max_segments, "it is in %" PRIu64 " pieces",
	      pieces);
	free(address);
}

static void check_zeroed(const struct channel *channel, uint32_t index)
{
	const unsigned char *block = channel->map + index * channel->stride;

	for (uint64_t at = 0; at < channel->block_size; at += page_size)
		check(!memcmp(block + at, block, page_size), "the page at %" PRIu64, at);
	check(!block[0] && !memcmp(block, block + 1, page_size - 1), "its first page");
}

static void limits_check_ring(struct channel *channel, uint32_t flags)
{
	channel_map(channel);
	for (uint32_t i = 0; i < channel->block_count; i++) {
		check_pages(channel, i, flags);
		check_zeroed(channel, i);
	}
	channel_start(channel);
	for (uint32_t n = 0; n < 2 * channel->block_count; n++) {
		struct dmacast_block block = read_one(channel);

		check(block.length == channel->block_size, "%llu bytes", block.length);
		check_content(channel, &block);
		recycle(channel, block.index);
	}
	channel_stop(channel);
	check(!channel_stats(channel).errors, "transfers failed");
	channel_unmap(channel);
}

/* ---- Sizes ---- */

static bool is_told(int kmsg, bool contiguous)
{
	return contiguous ? kmsg_says(kmsg, "contiguous blocks of")
			  : kmsg_says(kmsg, "pieces, and");
}

static void test_size(uint64_t size, uint32_t flags)
{
	static unsigned int lines[2];
	struct channel channel = channel_open();
	uint32_t count = size > LARGEST_RUN ? 2 : 3;
	int kmsg = kmsg_open();
	/* Which of them are refused at once. */
	bool at_once = is_contiguous(flags) && (info.max_segments == 1 || size > LARGEST_RUN);

	channel_setup(&channel, 0, 0, 0);
	if (try_setup(&channel, size, count, flags | DMACAST_SETUP_STALL)) {
		check(errno == EINVAL, "%" PRIu64 " bytes: errno %d", size, errno);
		check(!must_work(size, flags), "%" PRIu64 " bytes: refused", size);
		if (lines[at_once]++ < LINES)
			check(is_told(kmsg, at_once), "no word of it in the log");
		check_held(0, "refused");
	} else {
		channel_setup(&channel, size, count, flags | DMACAST_SETUP_STALL);
		check(!must_fail(size, flags), "%" PRIu64 " bytes: it cannot be, and is", size);
		check_held(size * count, "set up");
		limits_check_ring(&channel, flags);
	}
	channel_setup(&channel, 0, 0, 0);
	check_held(0, "freed");
	close(kmsg);
	channel_close(&channel);
}

static void test_limits_sizes(uint64_t most, uint32_t flags)
{
	static const uint64_t pages[] = { 1,   2,   3,	 4,    5,    7,	   8,	 16,
					  17,  25,  31,	 32,   33,   64,   65,	 100,
					  255, 256, 257, 1023, 1024, 1025, 4097, 16384 };
	unsigned int sizes = 0;

	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages) && pages[i] <= most; i++, sizes++)
		test_size(pages[i] * page_size, flags);
	check(!sim_value("refused"), "the engine refused %" PRIu64 " transfers",
	      sim_value("refused"));
	point("%u sizes%s, at most %u pieces of %u bytes, %" PRIu64 " and %" PRIu64 " bits", sizes,
	      flags ? ", contiguous" : "", info.max_segments, info.max_segment_size,
	      number_from(DMA_BITS), number_from(BUS_BITS));
}

static uint64_t mask_of(const char *path)
{
	uint64_t bits = number_from(path);

	return bits == 64 ? UINT64_MAX : (1ULL << bits) - 1;
}

int main(int argc, char **argv)
{
	struct channel channel;

	if (argc != 3) {
		fprintf(stderr, "usage: limits DEVICE PAGES\n");
		return 2;
	}
	begin(argc, argv);
	dma_mask = mask_of(DMA_BITS) & mask_of(BUS_BITS);
	channel = channel_open();
	need(!ioctl(channel.fd, DMACAST_IOC_INFO, &info), "INFO: %m");
	channel_close(&channel);
	check(info.max_segment_size <= number_from(SEGMENT_SIZE), "segments of %u bytes",
	      info.max_segment_size);
	test_limits_sizes(strtoull(argv[2], NULL, 10), 0);
	test_limits_sizes(strtoull(argv[2], NULL, 10), DMACAST_SETUP_CONTIGUOUS);
	return tap_end();
}
