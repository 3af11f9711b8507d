// SPDX-License-Identifier: BSD-2-Clause
/* The kernel ring and its source, on a device that is made up: see fakedevice.h. */
#include "lib/state.h"
#include "ring/ring_device.h"
#include "ring/ring_type.h"
#include "source/source.h"

#include "capture.h"
#include "dice.h"
#include "fakedevice.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "tap.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>

#define BLOCK 8192U

static struct capture capture;
static struct event_base *base;
static struct stream_settings settings;

static void device_test_begin(uint32_t blocks)
{
	static char name[] = "test", path[] = FAKE_PATH;

	fake_reset();
	settings = (struct stream_settings){
		.name = name,
		.device = path,
		.block_size = BLOCK,
		.ring_size = (uint64_t)blocks * BLOCK,
		.low_water = SETTING_AUTO,
	};
}

static struct ring *device_test_open_ring(uint32_t blocks)
{
	char wrong[RING_DEVICE_WRONG];
	struct ring *ring;

	device_test_begin(blocks);
	ring = ring_device_open(base, &settings, wrong);
	if (!ring)
		errx(1, "no ring: %s", wrong);
	return ring;
}

static void close_ring(struct ring *ring)
{
	ring_destroy(ring);
	check(fake.opens == 1 && fake.closes == 1 && !fake.mapped && !fake.faults,
	      "%u opens, %u closes, %u mapped, %u faults", fake.opens, fake.closes, fake.mapped,
	      fake.faults);
}

static void device_test_turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

/* ---- the ring ---- */

static void test_device_open_errors(void)
{
	static const struct {
		int *error, value;
		const char *says;
	} table[] = {
		{ &fake.open_error, ENOENT, "dmacast.ko is not loaded, or has no such channel" },
		{ &fake.open_error, ENODEV, "dmacast.ko is not loaded, or has no such channel" },
		{ &fake.open_error, EBUSY, "another process has it open" },
		{ &fake.open_error, EPERM, "run systemctl daemon-reload" },
		{ &fake.open_error, EACCES, "its group may use it" },
		{ &fake.open_error, EIO, "Input/output error" },
		{ &fake.info_error, ENOTTY, "not a device of dmacast.ko" },
		{ &fake.info_error, ENODEV, "No such device" },
		{ &fake.setup_error, ENOMEM, "no 64 KiB of memory for the ring; lower ring-size" },
		{ &fake.setup_error, EINVAL, "the kernel log says why" },
		{ &fake.setup_error, EBUSY, "too much of the former ring is still being sent" },
		{ &fake.mmap_error, ENOMEM, "cannot be mapped: Cannot allocate memory" },
	};
	char wrong[RING_DEVICE_WRONG];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		device_test_begin(8);
		*table[i].error = table[i].value;
		*wrong = '\0';
		check(!ring_device_open(base, &settings, wrong), "opened: %s", table[i].says);
		check(strstr(wrong, table[i].says), "%s; not: %s", table[i].says, wrong);
		check(fake.opens == fake.closes && !fake.mapped, "left open: %s", table[i].says);
	}
	device_test_begin(8);
	fake.abi_version = 0;
	check(!ring_device_open(base, &settings, wrong) && strstr(wrong, "too old"), "%s", wrong);
	device_test_begin(8);
	fake.stride_lack = FAKE_GAP + 1;
	check(!ring_device_open(base, &settings, wrong) && strstr(wrong, "a block each 8191"), "%s",
	      wrong);
	device_test_begin(FAKE_MOST + 1);
	check(!ring_device_open(base, &settings, wrong) && strstr(wrong, "expected at most 256"),
	      "%s", wrong);
	device_test_begin(8);
	settings.block_size = 2 << 20;
	settings.ring_size = 16 << 20;
	check(!ring_device_open(base, &settings, wrong) &&
		      strstr(wrong, "block-size = 2M: expected a multiple of 4096, at most 1M"),
	      "%s", wrong);
	check(fake.opens == 1 && fake.closes == 1, "left open");
	point("a device that cannot be had is named with the reason, and is not kept");
}

static void test_set_up(void)
{
	struct ring *ring = device_test_open_ring(16);
	char wrong[RING_DEVICE_WRONG];

	check(fake.setup.block_size == BLOCK && fake.setup.block_count == 16 && !fake.setup.flags,
	      "%u blocks, flags %x", fake.setup.block_count, fake.setup.flags);
	check(ring_blocks(ring) == 16 && ring_free_blocks(ring) == 16, "%u of %u free",
	      ring_free_blocks(ring), ring_blocks(ring));
	check(!strcmp(ring_memory_text(ring), "kernel ring, overrun = drop-oldest"), "%s",
	      ring_memory_text(ring));
	check(!ring_take(ring), "a block that is the kernel's");
	check(!fake.running, "runs before the start");
	close_ring(ring);
	device_test_begin(4);
	settings.overrun = OVERRUN_STALL;
	settings.contiguous = true;
	ring = ring_device_open(base, &settings, wrong);
	check(fake.setup.flags == (DMACAST_SETUP_STALL | DMACAST_SETUP_CONTIGUOUS), "flags %x",
	      fake.setup.flags);
	check(!strcmp(ring_memory_text(ring), "kernel ring, overrun = stall, contiguous"), "%s",
	      ring_memory_text(ring));
	close_ring(ring);
	point("the ring is set up as the settings say");
}

static void test_device_records(void)
{
	struct ring *ring = device_test_open_ring(8);
	struct ring_device_block got[8];

	ring_device_start(ring);
	fake_fill(BLOCK, 0, 0);
	fake_fill(1, DMACAST_BLOCK_SHORT, 3);
	fake_fill(BLOCK, DMACAST_BLOCK_AFTER_ERROR, 1);
	fake_fill(BLOCK, DMACAST_BLOCK_AFTER_SUSPEND, 1);
	check(ring_device_read(ring, got, 8) == 4, "another number of blocks");
	check(ring_free_blocks(ring) == 4, "%u free", ring_free_blocks(ring));
	check(got[0].block->length == BLOCK && got[1].block->length == 1, "lengths %u, %u",
	      got[0].block->length, got[1].block->length);
	check(!got[0].is_short && !got[0].lost && !got[0].after_error, "first block");
	check(got[1].is_short && got[1].lost == 3 && !got[1].after_error, "second block");
	check(!got[2].is_short && got[2].lost == 1 && got[2].after_error, "third block");
	check(!got[2].after_suspend && got[3].after_suspend && got[3].lost == 1, "fourth block");
	check(got[1].block->monotonic_ns == 1004 && got[1].block->captured_ns == 1004 &&
		      got[1].block->realtime_ns == 2004,
	      "another time");
	check(got[1].block->header && got[2].block->header, "no headers");
	for (uint32_t i = 0; i < 4; i++) {
		struct block *block = got[i].block;

		check(block->data == fake.memory + block->index * (BLOCK + FAKE_GAP),
		      "block %u is not in its place", block->index);
		check(!block->pins && !block->in_window && !block->next, "block %u is not new",
		      block->index);
	}
	check(got[0].block->data[BLOCK - 1] == 0 && got[1].block->data[0] == 4 &&
		      got[2].block->data[0] == 6,
	      "other bytes");
	check(ring_device_read(ring, got + 4, 4) == -1 && errno == EAGAIN, "more");
	for (int i = 0; i < 4; i++)
		ring_put(ring, got[i].block);
	close_ring(ring);
	point("a record becomes a block with its place, length, times, losses");
}

/* What STATS says, field by field. */
static void test_statistics(void)
{
	struct ring *ring = device_test_open_ring(16);
	struct ring_device_block got[4];
	struct ring_kernel_report report;

	ring_device_start(ring);
	for (int i = 0; i < 3; i++)
		fake_fill(BLOCK, 0, 0);
	check(ring_device_read(ring, got, 2) == 2, "not read");
	check(ring_ask_kernel(ring, &report), "no answer");
	check(report.completed == 3 && report.bytes == 2 && report.lent == 3 &&
		      report.recycled == 4 && report.overruns == 5 && report.stalls == 6 &&
		      report.errors == 7 && report.short_transfers == 8 &&
		      report.quarantined == 9 && report.replaced == 10 &&
		      report.left_behind == 16 && report.left_refused == 17,
	      "another counter");
	check(report.blocks_free == 13 && report.blocks_queued == 12 && report.blocks_ready == 1 &&
		      report.blocks_lent == 2 && report.blocks_quarantine == 15 && report.running,
	      "another state");
	ring_put(ring, got[0].block);
	ring_put(ring, got[1].block);
	fake_unplug();
	check(!ring_ask_kernel(ring, &report), "a device that is gone answers");
	close_ring(ring);
	point("what the kernel counts");
}

static void test_wrong_records(void)
{
	static const struct {
		struct dmacast_block record;
		const char *says;
	} table[] = {
		{ { .index = 8, .length = 1 }, "block 8 was lent, but is beyond the ring" },
		{ { .index = UINT32_MAX, .length = 1 }, "is beyond the ring" },
		{ { .index = 0, .length = 1 }, "block 0 was lent, but is not the kernel's" },
		{ { .index = 3, .length = 0 }, "block 3 has a length of 0" },
		{ { .index = 3, .length = BLOCK + 1 }, "block 3 has a length of 8193" },
		{ { .index = 3, .length = 1ULL << 32 }, "block 3 has a length of 4294967296" },
	};
	struct ring *ring = device_test_open_ring(8);
	struct ring_device_block got[8];
	struct block *kept;

	ring_device_start(ring);
	fake_fill(BLOCK, 0, 0);
	check(ring_device_read(ring, got, 1) == 1 && got[0].block->index == 0, "no block");
	kept = got[0].block;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		fake_push(table[i].record);
		fake_fill(BLOCK, 0, 0);
		capture_begin(&capture, STDERR_FILENO);
		check(ring_device_read(ring, got, 8) == 1, "the wrong one was taken");
		capture_end(&capture);
		check(strstr(capture.text, table[i].says), "%s; not: %s", table[i].says,
		      capture.text);
		check(ring_free_blocks(ring) == 6, "%u free", ring_free_blocks(ring));
		ring_put(ring, got[0].block);
		device_test_turn();
	}
	ring_put(ring, kept);
	device_test_turn();
	check(fake_count(FAKE_FREE) == 8, "%u blocks of 8 are the kernel's", fake_count(FAKE_FREE));
	close_ring(ring);
	point("records that make no sense are logged, not handed on, and lose no block");
}

/* Borrow @count blocks. */
static void borrow(struct ring *ring, struct block **block, uint32_t count)
{
	struct ring_device_block got[1];

	for (uint32_t i = 0; i < count; i++) {
		if (!fake_fill(BLOCK, 0, 0) || ring_device_read(ring, got, 1) != 1)
			errx(1, "no block");
		block[i] = got[0].block;
	}
}

static void test_batches(void)
{
	struct ring *ring = device_test_open_ring(256);
	struct block *block[256];

	ring_device_start(ring);
	borrow(ring, block, 256);
	for (uint32_t i = 0; i < 31; i++)
		ring_put(ring, block[i]);
	check(!fake.writes, "written before the turn is over");
	check(ring_free_blocks(ring) == 31, "%u free", ring_free_blocks(ring));
	device_test_turn();
	check(fake.writes == 1 && fake_count(FAKE_FREE) == 31, "%u writes, %u free", fake.writes,
	      fake_count(FAKE_FREE));
	device_test_turn();
	check(fake.writes == 1, "written again");
	for (uint32_t i = 31; i < 31 + 70; i++)
		ring_put(ring, block[i]);
	check(fake.writes == 3 && fake_count(FAKE_FREE) == 31 + 64, "%u writes, %u free",
	      fake.writes, fake_count(FAKE_FREE));
	device_test_turn();
	check(fake.writes == 4 && fake_count(FAKE_FREE) == 101, "%u writes, %u free", fake.writes,
	      fake_count(FAKE_FREE));
	for (uint32_t i = 101; i < 256; i++)
		ring_put(ring, block[i]);
	close_ring(ring);
	point("blocks are given back once a turn of the event loop, or when there are many");
}

static void test_write_errors(void)
{
	static const int error[] = { EINTR, EAGAIN, ENOMEM };
	struct dice dice = { .state = 1 };

	for (int round = 0; round < 200; round++) {
		uint32_t blocks = dice_roll(&dice, 4, 100), lent = 0;
		struct ring *ring = device_test_open_ring(blocks);
		struct block *block[100];

		ring_device_start(ring);
		capture_begin(&capture, STDERR_FILENO);
		for (int step = 0; step < 50; step++) {
			fake.write_most = dice_roll(&dice, 0, 3);
			fake.write_error =
				dice_one_in(&dice, 3) ? error[dice_roll(&dice, 0, 2)] : 0;
			while (lent < blocks && fake_count(FAKE_FREE) && !dice_one_in(&dice, 9))
				borrow(ring, &block[lent++], 1);
			while (lent && !dice_one_in(&dice, 9)) {
				uint32_t any = dice_roll(&dice, 0, lent - 1);

				ring_put(ring, block[any]);
				block[any] = block[--lent];
			}
			if (dice_one_in(&dice, 2))
				device_test_turn();
			check(ring_free_blocks(ring) == blocks - lent, "%u free of %u, %u lent",
			      ring_free_blocks(ring), blocks, lent);
		}
		fake.write_error = 0;
		while (lent)
			ring_put(ring, block[--lent]);
		for (int tries = 0; tries < 100 && fake_count(FAKE_FREE) < blocks; tries++) {
			usleep(1000);
			device_test_turn();
		}
		capture_end(&capture);
		check(fake_count(FAKE_FREE) == blocks, "%u of %u blocks came back",
		      fake_count(FAKE_FREE), blocks);
		close_ring(ring);
	}
	point("no block is lost by short writes and errors");
}

static void test_not_lent(void)
{
	struct ring *ring = device_test_open_ring(64);
	struct block *block[6];

	ring_device_start(ring);
	borrow(ring, block, 6);
	fake.state[block[2]->index] = FAKE_FREE; /* behind the daemon's back */
	for (int i = 0; i < 6; i++)
		ring_put(ring, block[i]);
	capture_begin(&capture, STDERR_FILENO);
	device_test_turn();
	capture_end(&capture);
	check(strstr(capture.text, "block 2 was returned, but was not lent; please report this"),
	      "%s", capture.text);
	check(fake_count(FAKE_FREE) == 64, "%u free", fake_count(FAKE_FREE));
	check(fake.faults == 2, "%u faults", fake.faults); /* at the end of a write, and first */
	fake.faults = 0;
	close_ring(ring);
	point("an index that the kernel refuses does not keep back those after it");
}

static void test_gone(void)
{
	struct ring *ring = device_test_open_ring(8);
	struct ring_device_block got[8];
	struct block *block[5];
	unsigned int writes;

	ring_device_start(ring);
	borrow(ring, block, 5);
	ring_put(ring, block[0]);
	fake_unplug();
	device_test_turn(); /* one is written in vain */
	check(ring_device_read(ring, got, 8) == -1 && errno == ENODEV, "still there");
	check(fake.mapped && block[1]->data[0] == 1, "the block was lost with the device");
	writes = fake.writes;
	for (int i = 1; i < 5; i++)
		ring_put(ring, block[i]);
	device_test_turn();
	check(fake.writes == writes, "written to a device that is gone");
	check(ring_free_blocks(ring) == 8, "%u free", ring_free_blocks(ring));
	ring_device_stop(ring);
	close_ring(ring);
	point("when the device is gone, the blocks stay until they are back");
}

/* ---- the source ---- */

static struct {
	struct ring *ring;
	struct source *source;
	struct block *block[FAKE_MOST]; /* those that were handed on, oldest first */
	uint32_t blocks;
	uint32_t give_way; /* number of free blocks after make_room() */
	unsigned int make_rooms, readies, ends;
	uint64_t bytes;
	uint64_t lost;
	unsigned int waits, broken, ups;
	uint32_t unready; /* handed on without ready() */
	char why[64];
} sink;

static void put_oldest(void)
{
	ring_put(sink.ring, sink.block[0]);
	memmove(sink.block, sink.block + 1, --sink.blocks * sizeof(sink.block[0]));
}

static void sink_make_room(void *argument)
{
	(void)argument;
	sink.make_rooms++;
	while (ring_free_blocks(sink.ring) < sink.give_way && sink.blocks)
		put_oldest();
}

static void sink_block(void *argument, struct block *block)
{
	(void)argument;
	sink.block[sink.blocks++] = block;
	sink.bytes += block->length;
	sink.unready++;
}

static void sink_ready(void *argument)
{
	(void)argument;
	sink.readies++;
	sink.unready = 0;
}

static void sink_lost(void *argument, uint64_t blocks)
{
	(void)argument;
	sink.lost += blocks;
}

static void sink_broken(void *argument)
{
	(void)argument;
	sink.broken++;
}

static void sink_up(void *argument)
{
	(void)argument;
	sink.ups++;
}

static void sink_waits(void *argument)
{
	(void)argument;
	sink.waits++;
}

static void sink_end(void *argument, const char *why)
{
	(void)argument;
	sink.ends++;
	snprintf(sink.why, sizeof(sink.why), "%s", why);
}

static const struct source_callbacks sink_callbacks = {
	.make_room = sink_make_room,
	.block_filled = sink_block,
	.blocks_lost = sink_lost,
	.record_broken = sink_broken,
	.starved = sink_waits,
	.ready = sink_ready,
	.up = sink_up,
	.ended = sink_end,
};

static void device_test_open_source(uint32_t blocks, uint64_t low_water, enum lag_policy policy)
{
	memset(&sink, 0, sizeof(sink));
	sink.ring = device_test_open_ring(blocks);
	settings.low_water = low_water;
	settings.client.lag_policy = policy;
	sink.source = source_open(base, &settings, sink.ring, NULL, &sink_callbacks, NULL);
	if (!sink.source)
		errx(1, "no source");
}

static void close_source(void)
{
	source_close(sink.source);
	while (sink.blocks)
		put_oldest();
	device_test_turn();
	close_ring(sink.ring);
}

static void test_streaming(void)
{
	device_test_open_source(64, SETTING_AUTO, LAG_POLICY_DROP);
	device_test_turn();
	check(!fake.starts && !fake.reads, "started by itself");
	source_start(sink.source);
	check(fake.starts == 1, "not started");
	for (int i = 0; i < 20; i++)
		fake_fill(i % 2 ? BLOCK : 100, i % 2 ? 0 : DMACAST_BLOCK_SHORT, 0);
	capture_begin(&capture, STDERR_FILENO);
	device_test_turn();
	capture_end(&capture);
	check(sink.blocks == 20 && sink.bytes == 10 * BLOCK + 1000, "%u blocks", sink.blocks);
	check(sink.readies == 1 && !sink.unready, "%u calls of ready()", sink.readies);
	check(fake.reads == 1, "%u reads", fake.reads);
	check(strstr(capture.text, "a transfer ended after 100 bytes") &&
		      strstr(capture.text, "100 bytes") == strrchr(capture.text, '1'),
	      "not said once: %s", capture.text);
	for (uint32_t i = 1; i < 20; i++)
		check(sink.block[i]->monotonic_ns == sink.block[i - 1]->monotonic_ns + 1, "order");
	fake_fill(BLOCK, 0, 7);
	fake_fill(BLOCK, DMACAST_BLOCK_AFTER_ERROR, 1);
	capture_begin(&capture, STDERR_FILENO);
	device_test_turn();
	close_source();
	capture_end(&capture);
	check(strstr(capture.text, "7 blocks lost: no block was free") &&
		      strstr(capture.text, "1 blocks lost: transfers failed") &&
		      strstr(capture.text, "22 blocks, 10 short, and 8 lost"),
	      "%s", capture.text);
	check(sink.lost == 8, "told of %" PRIu64 " lost blocks", sink.lost);
	check(!sink.waits, "waited %u times", sink.waits);
	check(fake.stops == 1, "not stopped");
	point("blocks are handed on in order, losses and short ones are logged and counted");
}

/* Of short transfers, those that end within a record are counted. */
static void test_broken_transfers(void)
{
	device_test_open_source(64, SETTING_AUTO, LAG_POLICY_DROP);
	settings.record_size = 50;
	source_start(sink.source);
	fake_fill(100, DMACAST_BLOCK_SHORT, 0);
	fake_fill(101, DMACAST_BLOCK_SHORT, 0);
	fake_fill(49, DMACAST_BLOCK_SHORT, 0);
	capture_begin(&capture, STDERR_FILENO);
	device_test_turn();
	capture_end(&capture);
	check(sink.blocks == 3 && sink.broken == 2, "%u blocks, %u broken", sink.blocks,
	      sink.broken);
	check(strstr(capture.text,
		     "a transfer ended after 101 bytes, within a record (record-size = 50)"),
	      "%s", capture.text);
	close_source();
	settings.record_size = 0;
	point("a short transfer that ends within a record is counted as broken");
}

static void test_turns(void)
{
	device_test_open_source(200, 1, LAG_POLICY_BLOCK);
	source_start(sink.source);
	while (fake_fill(BLOCK, 0, 0))
		;
	event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	check(sink.blocks == 64, "%u blocks in a turn", sink.blocks);
	device_test_turn();
	device_test_turn();
	device_test_turn();
	check(sink.blocks == 199, "%u blocks", sink.blocks);
	close_source();
	point("a turn is bounded");
}

/* Nobody gives way: what is left to the engine, and when it goes on. */
static void test_starving(void)
{
	static const struct {
		uint32_t blocks;
		uint64_t low_water;
		enum lag_policy policy;
		uint32_t reserve, enough;
	} table[] = {
		{ 4, SETTING_AUTO, LAG_POLICY_DROP, 0, 1 },
		{ 4, 2, LAG_POLICY_BLOCK, 0, 3 },
		{ 5, SETTING_AUTO, LAG_POLICY_DROP, 1, 2 },
		{ 8, 4, LAG_POLICY_DROP, 1, 2 },
		{ 16, 1, LAG_POLICY_DROP, 1, 2 },
		{ 16, 8, LAG_POLICY_DROP, 2, 3 },
		{ 64, SETTING_AUTO, LAG_POLICY_DROP, 8, 9 },
		{ 64, 32, LAG_POLICY_DROP, 8, 9 },
		{ 64, 32, LAG_POLICY_BLOCK, 8, 33 },
		{ 64, 2, LAG_POLICY_BLOCK, 2, 3 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint32_t blocks = table[i].blocks;
		unsigned int reads;

		device_test_open_source(blocks, table[i].low_water, table[i].policy);
		source_start(sink.source);
		for (int turns = 0; turns < 4; turns++) {
			while (fake_fill(BLOCK, 0, 0))
				;
			device_test_turn();
		}
		check(ring_free_blocks(sink.ring) == table[i].reserve, "%zu: reserve %u", i,
		      ring_free_blocks(sink.ring));
		check(fake.ready_count == table[i].reserve, "%zu: %u wait", i, fake.ready_count);
		reads = fake.reads;
		device_test_turn();
		check(fake.reads == reads, "%zu: reads on", i);
		check(sink.waits == (table[i].reserve > 0), "%zu: told %u times that it waits", i,
		      sink.waits);
		while (ring_free_blocks(sink.ring) + 1 < table[i].enough)
			put_oldest();
		device_test_turn();
		check(fake.reads == reads, "%zu: reads before enough are free", i);
		if (table[i].reserve) {
			put_oldest();
			device_test_turn();
			device_test_turn();
			check(fake.reads > reads && fake.ready_count < table[i].reserve,
			      "%zu: does not go on", i);
		} else {
			check(!fake.ready_count, "%zu: there was something left", i);
		}
		close_source();
	}
	point("an engine whose blocks nobody gives back keeps some, and nobody reads without end");
}

static void test_giving_way(void)
{
	for (uint32_t blocks = 4; blocks <= 128; blocks *= 2) {
		uint32_t low_water = blocks >= 16 ? blocks / 8 : 1, least = blocks;

		device_test_open_source(blocks, SETTING_AUTO, LAG_POLICY_DROP);
		sink.give_way = low_water + 1;
		source_start(sink.source);
		for (int i = 0; i < 1000; i++) {
			if (!fake_fill(BLOCK, 0, 0))
				break;
			device_test_turn();
			if (fake_count(FAKE_FREE) < least)
				least = fake_count(FAKE_FREE);
		}
		check(fake.sequence == 1000, "%u blocks: stalled after %u", blocks,
		      (unsigned int)fake.sequence);
		check(sink.make_rooms >= 1000 - blocks, "%u blocks: %u calls", blocks,
		      sink.make_rooms);
		check(least > low_water, "%u blocks: only %u left to the engine", blocks, least);
		close_source();
	}
	point("the slowest give way before the engine has no block");
}

static void test_device_stop(void)
{
	device_test_open_source(64, SETTING_AUTO, LAG_POLICY_BLOCK);
	source_start(sink.source);
	for (int i = 0; i < 60; i++)
		fake_fill(BLOCK, 0, 0);
	device_test_turn();
	check(sink.blocks == 56, "%u blocks", sink.blocks);
	source_stop(sink.source);
	check(sink.blocks == 60 && !sink.unready, "%u blocks after the stop", sink.blocks);
	check(fake.stops == 1 && !fake.running, "not stopped");
	source_stop(sink.source);
	check(fake.stops == 1 && !sink.ends, "%u stops, %u ends", fake.stops, sink.ends);
	while (sink.blocks > 2)
		put_oldest();
	device_test_turn();
	check(sink.blocks == 2, "went on");
	close_source();
	device_test_open_source(64, SETTING_AUTO, LAG_POLICY_BLOCK);
	source_stop(sink.source);
	check(!fake.stops && !fake.reads, "stopped what was not started");
	close_source();
	point("a stop hands on what is filled");
}

/* The device goes, and the source has noticed. */
static void unplug(void)
{
	fake_unplug();
	capture_begin(&capture, STDERR_FILENO);
	device_test_turn();
	device_test_turn();
	capture_end(&capture);
	check(sink.ends == 1 && !strcmp(sink.why, "device gone"), "%u ends: %s", sink.ends,
	      sink.why);
}

static void test_end(void)
{
	device_test_open_source(64, SETTING_AUTO, LAG_POLICY_DROP);
	source_start(sink.source);
	for (int i = 0; i < 9; i++)
		fake_fill(BLOCK, 0, 0);
	device_test_turn();
	unplug();
	check(strstr(capture.text, "device " FAKE_PATH " is gone"), "%s", capture.text);
	check(sink.blocks == 9, "%u blocks", sink.blocks);
	close_source();

	device_test_open_source(64, SETTING_AUTO, LAG_POLICY_DROP);
	fake.start_error = EIO;
	source_start(sink.source);
	check(!sink.ends, "told of from within");
	capture_begin(&capture, STDERR_FILENO);
	device_test_turn();
	capture_end(&capture);
	check(sink.ends == 1 && strstr(sink.why, "Input/output error"), "%u ends: %s", sink.ends,
	      sink.why);
	close_source();

	device_test_open_source(64, SETTING_AUTO, LAG_POLICY_DROP);
	source_start(sink.source);
	fake.read_error = EINTR;
	fake_fill(BLOCK, 0, 0);
	device_test_turn();
	check(sink.blocks == 1 && !sink.ends, "ended by a signal");
	fake.read_error = EIO;
	fake_fill(BLOCK, 0, 0);
	capture_begin(&capture, STDERR_FILENO);
	device_test_turn();
	capture_end(&capture);
	check(sink.ends == 1, "%u ends", sink.ends);
	close_source();
	point("a device that is gone, does not start or fails ends the source, once");
}

/* Return: does nothing wake the loop for a while? */
static bool is_quiet(void)
{
	/* The loop's clock is a coarse one. */
	const struct timeval span = { .tv_usec = 60000 };
	uint64_t begin = clock_monotonic_ns();

	event_base_loopexit(base, &span);
	event_base_loop(base, EVLOOP_ONCE);
	return clock_monotonic_ns() - begin >= 30000000;
}

/* Fill ten blocks and see them, then three that only the pause finds. Keep the newest four over it. */
static void run_and_pause(unsigned int run)
{
	uint32_t kept = sink.blocks;

	source_start(sink.source);
	check(fake.starts == run && fake.running, "not started");
	for (int i = 0; i < 10; i++)
		fake_fill(BLOCK, 0, 0);
	device_test_turn();
	check(sink.blocks == kept + 10, "%u blocks", sink.blocks);
	for (int i = 0; i < 3; i++)
		fake_fill(BLOCK, 0, 0);
	source_pause(sink.source);
	check(fake.stops == run && !fake.running, "not stopped");
	check(sink.blocks == kept + 13 && !sink.unready, "%u blocks", sink.blocks);
	check(source_state(sink.source, UINT64_MAX) == SOURCE_WAITING, "it does not wait");
	while (sink.blocks > 4)
		put_oldest();
	source_adapt(sink.source);
	device_test_turn();
	check(is_quiet(), "woken without a reason");
}

static void test_device_pause(void)
{
	device_test_open_source(64, SETTING_AUTO, LAG_POLICY_DROP);
	for (unsigned int run = 1; run <= 3; run++)
		run_and_pause(run);
	check(!sink.lost && !sink.ends, "%u lost, %u ends", (unsigned int)sink.lost, sink.ends);
	for (unsigned int i = 0; i < 4; i++)
		check(sink.block[i]->data[0] == (fake.sequence - 4 + i) % 256,
		      "block %u is another one", i);
	unplug();
	close_source();
	point("a pause stops the engine and hands on what is filled, and blocks stay lent over it");

	device_test_open_source(64, SETTING_AUTO, LAG_POLICY_BLOCK);
	source_start(sink.source);
	while (fake_fill(BLOCK, 0, 0))
		;
	device_test_turn();
	check(sink.waits == 1, "it waits for blocks %u times", sink.waits);
	source_pause(sink.source);
	check(sink.blocks == 64, "%u blocks", sink.blocks);
	while (sink.blocks)
		put_oldest();
	device_test_turn();
	device_test_turn();
	check(is_quiet() && !fake.running, "it goes on");
	source_start(sink.source);
	fake_fill(BLOCK, 0, 0);
	device_test_turn();
	check(sink.blocks == 1, "%u blocks", sink.blocks);
	source_pause(sink.source);
	source_stop(sink.source);
	check(fake.stops == 2 && !sink.ends, "%u stops", fake.stops);
	close_source();
	point("... also while the source waits for blocks");
}

/* A source that does not read still learns that its device is gone, and does not spin until then. */
static void test_end_unread(void)
{
	for (int started = 0; started < 2; started++) {
		device_test_open_source(64, SETTING_AUTO, LAG_POLICY_BLOCK);
		if (started)
			source_start(sink.source);
		for (int turns = 0; turns < 4; turns++) {
			while (started && fake_fill(BLOCK, 0, 0))
				;
			device_test_turn();
		}
		check(sink.blocks == (started ? 56 : 0) && !sink.ends, "%u blocks, %u ends",
		      sink.blocks, sink.ends);
		check(is_quiet(), "woken without a reason");
		unplug();
		close_source();
	}
	point("a device that is gone ends a source that waits for blocks, or for its start");
}

/* ---- handover ---- */

/*
 * Save the ring, and the source if it is not NULL. Return: NULL, with the reason in @why, if they cannot be handed over.
 */
static struct state *save_ring(struct ring *ring, struct source *source, char why[STATE_WRONG_TEXT])
{
	struct state *saved = state_create(), *state = NULL;
	const int *descriptors;
	size_t length, count;
	const char *data;

	ring_save(ring, saved);
	if (source)
		source_save(source, saved);
	data = state_encode(saved, &length);
	snprintf(why, STATE_WRONG_TEXT, "%s", state_why(saved));
	descriptors = state_descriptors(saved, &count);
	if (data)
		state = state_decode(data, length, descriptors, count, why);
	state_free(saved);
	return state;
}

/* Restore the ring, and end the predecessor's mapping as the end of its process does. */
static struct ring *hand_over_ring(const struct ring *before, struct state *state)
{
	struct ring *ring = ring_restore(base, &settings, state);

	if (!check(ring, "%s", state_why(state)))
		errx(1, "no ring");
	check(fake.mapped == 2, "%u mappings", fake.mapped);
	munmap(before->block[0].data, (size_t)fake.setup.map_size);
	return ring;
}

static void test_device_handover(void)
{
	static struct ring *before; /* never freed, as its process is gone */
	struct ring_device_block filled[16];
	char why[STATE_WRONG_TEXT];
	struct state *state;
	struct ring *ring;

	before = device_test_open_ring(16);
	ring_device_start(before);
	for (int i = 0; i < 8; i++)
		fake_fill(BLOCK - (uint64_t)i, 0, 0);
	check(ring_device_read(before, filled, 7) == 7, "not 7 blocks");
	for (int i = 0; i < 3; i++)
		ring_put(before, filled[i].block);
	check(fake_count(FAKE_LENT) == 5, "%u lent", fake_count(FAKE_LENT));
	state = save_ring(before, NULL, why);
	if (!check(state, "%s", why))
		errx(1, "no state");
	check(fake_count(FAKE_LENT) == 4, "%u lent: not written before", fake_count(FAKE_LENT));
	ring = hand_over_ring(before, state);
	check(ring_free_blocks(ring) == 12 && fake.running && fake.opens == 1 && !fake.closes,
	      "%u free, %u opens, %u closes", ring_free_blocks(ring), fake.opens, fake.closes);
	for (int i = 3; i < 7; i++) {
		struct block *block = ring_find_taken(ring, filled[i].block->index);

		if (!check(block && ring_claim(ring, block), "block %d is free", i))
			continue;
		check(block->length == BLOCK - (uint32_t)i && block->data[0] == i &&
			      block->monotonic_ns == 1000 + (uint64_t)i,
		      "block %d is another one", i);
		check(!ring_claim(ring, block), "claimed twice");
	}
	check(ring_check_restored(ring, state), "%s", state_why(state));
	state_free(state);
	check(ring_device_read(ring, filled, 16) == 1 && filled[0].block->data[0] == 7,
	      "not the block that was filled before");
	ring_put(ring, filled[0].block);
	for (uint32_t i = 0; i < 16; i++) {
		if (ring_find_taken(ring, i))
			ring_put(ring, ring_find_taken(ring, i));
	}
	device_test_turn();
	check(fake_count(FAKE_LENT) == 0 && ring_free_blocks(ring) == 16, "%u lent",
	      fake_count(FAKE_LENT));
	close_ring(ring);
	point("an open device goes to a successor with its lent blocks");
}

static void test_device_no_handover(void)
{
	struct ring *ring = device_test_open_ring(16);
	struct ring_device_block filled;
	char why[STATE_WRONG_TEXT];

	ring_device_start(ring);
	fake_fill(BLOCK, 0, 0);
	ring_device_read(ring, &filled, 1);
	ring_put(ring, filled.block);
	capture_begin(&capture, STDERR_FILENO);
	fake.write_error = EIO;
	check(!save_ring(ring, NULL, why) && strstr(why, "does not take blocks back"), "%s", why);
	capture_end(&capture);
	fake_unplug();
	fake.gone = true;
	check(ring_device_read(ring, &filled, 1) < 0, "read");
	check(!save_ring(ring, NULL, why) && strstr(why, "is gone"), "%s", why);
	ring_destroy(ring);
	point("a device that is gone, or takes no blocks, is not handed over");
}

/* Continue the source of the sink as in another process: with an event loop, a ring and a source of its own. */
static void hand_over_source(void)
{
	static struct ring *before[2]; /* never freed, as are the sources */
	static unsigned int handovers;
	char why[STATE_WRONG_TEXT];
	struct state *state;

	before[handovers] = sink.ring;
	state = save_ring(sink.ring, sink.source, why);
	base = event_base_new();
	if (!check(state && base, "%s", why))
		errx(1, "no state");
	sink.ring = hand_over_ring(before[handovers++], state);
	for (uint32_t i = 0; i < sink.blocks; i++) {
		sink.block[i] = ring_find_taken(sink.ring, sink.block[i]->index);
		check(sink.block[i] && ring_claim(sink.ring, sink.block[i]), "block %u is free", i);
	}
	sink.source = source_restore(base, &settings, sink.ring, &sink_callbacks, NULL, state);
	if (!check(sink.source && ring_check_restored(sink.ring, state), "%s", state_why(state)))
		errx(1, "no source");
	state_free(state);
}

static void device_test_fill(unsigned int blocks)
{
	for (unsigned int i = 0; i < blocks; i++)
		fake_fill(BLOCK, 0, 0);
}

/* What a predecessor leaves: its process is gone, so nobody frees it. */
struct predecessor {
	struct event_base *base;
	struct source *source;
};

static void test_device_source_handover(void)
{
	struct event_base *other = base;
	static struct predecessor left[2];

	base = left[0].base = event_base_new();
	device_test_open_source(16, SETTING_AUTO, LAG_POLICY_DROP);
	source_start(sink.source);
	device_test_fill(3);
	device_test_turn();
	device_test_fill(2);
	left[0].source = sink.source;
	hand_over_source();
	device_test_turn();
	check(sink.blocks == 5 && sink.ups == 1 && fake.starts == 1 && !fake.stops,
	      "%u blocks, %u times up, %u starts, %u stops", sink.blocks, sink.ups, fake.starts,
	      fake.stops);
	for (uint32_t i = 0; i < sink.blocks; i++)
		check(sink.block[i]->data[0] == i, "block %u is another one", i);
	check(source_state(sink.source, clock_monotonic_ns()) == SOURCE_RUNNING, "state");
	unplug();
	check(sink.ends == 1, "%u ends", sink.ends);
	close_source();
	event_base_free(base);
	point("the source of a device goes on, and notices when the device is gone");

	base = left[1].base = event_base_new();
	device_test_open_source(16, SETTING_AUTO, LAG_POLICY_BLOCK);
	source_start(sink.source);
	device_test_fill(16);
	for (int turns = 0; turns < 100 && !sink.waits; turns++)
		device_test_turn();
	check(sink.waits == 1, "it does not wait for blocks");
	left[1].source = sink.source;
	hand_over_source();
	device_test_turn();
	check(sink.waits == 1 && sink.blocks < 16, "it does not wait any more");
	for (int turns = 0; turns < 100 && sink.blocks; turns++) {
		put_oldest();
		device_test_turn();
	}
	check(fake_count(FAKE_READY) == 0 && sink.bytes == 16 * BLOCK, "%u blocks are not read",
	      fake_count(FAKE_READY));
	close_source();
	event_base_free(base);
	base = other;
	point("one that waits for blocks goes on when they are back");
}

int main(void)
{
	unsetenv("JOURNAL_STREAM");
	log_init("test");
	base = event_base_new();
	if (!base)
		errx(1, "no event base");
	test_device_open_errors();
	test_set_up();
	test_device_records();
	test_statistics();
	test_wrong_records();
	test_batches();
	test_write_errors();
	test_not_lent();
	test_gone();
	test_streaming();
	test_broken_transfers();
	test_turns();
	test_starving();
	test_giving_way();
	test_device_stop();
	test_end();
	test_end_unread();
	test_device_pause();
	test_device_handover();
	test_device_no_handover();
	test_device_source_handover();
	event_base_free(base);
	return tap_end();
}
