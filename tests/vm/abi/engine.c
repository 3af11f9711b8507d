// SPDX-License-Identifier: BSD-2-Clause
/*
 * engine - a channel of a real DMA engine's driver, with what a device of the machine gives it.
 *
 *	engine DEVICE timer ADDRESS [strict]
 *	engine DEVICE serial ADDRESS
 *	engine DEVICE drain ADDRESS
 *	engine check [strict] < FILE
 *
 * timer: the engine reads a 32-bit counter, again and again. ADDRESS is where the CPU finds it: each
 * value must have been read after its block was given to the engine, and before the block came back; so
 * nothing may be stale, missing, or at another place. strict: the counter counts faster than the engine
 * reads, so that no value comes twice.
 *
 * serial: the port at ADDRESS (Samsung's) asks the engine for each byte that it gets: the pattern, from
 * serialfeed. drain: take what is still in that port, when nobody feeds it.
 *
 * check: is a stream of what timer gives in order?
 */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/pattern.h"

#define BLOCK_COUNT 8U
#define WORD sizeof(uint32_t)

/* Of the serial port. */
#define ULCON 0x00
#define UCON 0x04
#define UFCON 0x08
#define UFSTAT 0x18
#define URXH 0x24
#define ULCON_8_BITS 3
#define UCON_RECEIVE_BY_DMA 2
#define UFCON_ENABLE 1
#define UFCON_RECEIVE_RESET 2
#define UFSTAT_RECEIVED 0x1ff

static volatile uint32_t *registers;
static bool is_strict;

static void map_registers(const char *text)
{
	unsigned long address = strtoul(text, NULL, 0);
	size_t offset = address % page_size;
	int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
	char *page;

	need(fd >= 0, "/dev/mem: %m");
	page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)(address - offset));
	need(page != MAP_FAILED, "/dev/mem at %s: %m", text);
	close(fd);
	registers = (volatile uint32_t *)(page + offset);
	tap.checks = 0;
}

/* ---- The counter ---- */

/* Counters wrap; a test takes no half of a round. */
static bool is_before(uint32_t a, uint32_t b)
{
	return is_strict ? (int32_t)(b - a) > 0 : (int32_t)(b - a) >= 0;
}

/* Return: how many words from @words on are in order, after @last. */
static size_t in_order(const uint32_t *words, size_t count, uint32_t last)
{
	for (size_t i = 0; i < count; i++) {
		if (!is_before(last, words[i]))
			return i;
		last = words[i];
	}
	return count;
}

struct timer_check {
	uint32_t given[BLOCK_COUNT]; /* the counter, when the block was given to the engine */
	uint32_t last;		     /* value of the block before */
	uint64_t sequence;
	uint64_t lost;
};

static struct timer_check timer_begin(uint64_t sequence)
{
	struct timer_check begun = { .last = *registers, .sequence = sequence };

	for (unsigned int i = 0; i < BLOCK_COUNT; i++)
		begun.given[i] = begun.last;
	return begun;
}

/* Of a block that was taken back unread, nobody knows when the engine got it again. */
static void timer_block(const struct channel *channel, struct timer_check *timer,
			const struct dmacast_block *block)
{
	uint32_t now = *registers, last = timer->last, first, *words;
	size_t count = block->length / WORD, right;

	words = malloc(block->length);
	need(words, "no memory");
	memcpy(words, content(channel, block), block->length);
	first = words[0];
	if ((int32_t)(timer->given[block->index] - last) > 0)
		last = timer->given[block->index];
	check(block->length == channel->block_size && !block->flags, "length %llu, flags %x",
	      block->length, block->flags);
	check(block->sequence == timer->sequence + block->lost,
	      "sequence %llu, lost %llu, not %" PRIu64, block->sequence, block->lost,
	      timer->sequence);
	right = in_order(words, count, last);
	check(right == count,
	      "block %u, sequence %llu: word %zu of %zu is %u, after %u; given at %u, read at %u",
	      block->index, block->sequence, right, count, words[right < count ? right : 0],
	      right ? words[right - 1] : last, timer->given[block->index], now);
	check((int32_t)(now - words[count - 1]) >= 0, "block %u: %u is yet to come at %u",
	      block->index, words[count - 1], now);
	check(words[count - 1] != first, "block %u: nothing but %u", block->index, first);
	timer->last = words[count - 1];
	timer->sequence = block->sequence + 1;
	timer->lost += block->lost;
	free(words);
}

static void timer_rounds(const struct channel *channel, struct timer_check *timer,
			 unsigned int count)
{
	for (unsigned int n = 0; n < count; n++) {
		struct dmacast_block block = read_one(channel);

		timer_block(channel, timer, &block);
		timer->given[block.index] = *registers;
		recycle(channel, block.index);
	}
}

static void test_timer(uint64_t block_size, uint32_t flags, unsigned int blocks, const char *name)
{
	struct channel channel = channel_open();
	struct dmacast_stats stats;
	struct timer_check timer;

	channel_setup(&channel, block_size, BLOCK_COUNT, flags | DMACAST_SETUP_STALL);
	channel_map(&channel);
	timer = timer_begin(0);
	channel_start(&channel);
	timer_rounds(&channel, &timer, blocks);
	channel_stop(&channel);
	stats = channel_stats(&channel);
	check(!timer.lost && !stats.overruns, "%" PRIu64 " lost, %llu overruns", timer.lost,
	      stats.overruns);
	check(!stats.errors && !stats.short_transfers && !stats.quarantined,
	      "%llu errors, %llu short, %llu quarantined", stats.errors, stats.short_transfers,
	      stats.quarantined);
	check(stats.completed >= blocks, "%llu completed", stats.completed);
	channel_close(&channel);
	point("%s", name);
}

/* Interrupts of devices go to the first processor. */
static void run_on(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	need(!sched_setaffinity(0, sizeof(set), &set), "processor %d: %m", processor);
}

static void run_anywhere(void)
{
	cpu_set_t set;

	memset(&set, 0xff, sizeof(set));
	need(!sched_setaffinity(0, sizeof(set), &set), "all processors: %m");
}

/*
 * The only tests of a timer without DMACAST_SETUP_STALL: to the guest QEMU's PL330 is infinitely fast, and
 * its driver then stays in its tasklet for ever. What that interrupts would not go on to stop the channel:
 * it must not be this.
 */
static void test_timer_overrun(void)
{
	struct channel channel = channel_open();
	struct dmacast_stats stats;
	struct dmacast_block block;
	uint64_t records = 0, sequence = 0, lost = 0;

	channel_setup(&channel, 16 * KIB, BLOCK_COUNT, 0);
	channel_map(&channel);
	run_on(1);
	channel_start(&channel);
	need(wait_for(&channel, overruns, 3 * BLOCK_COUNT, 30), "no overrun");
	block = read_one(&channel);
	check(block.lost >= BLOCK_COUNT, "only %llu lost", block.lost);
	channel_stop(&channel);
	do {
		uint32_t words[16 * KIB / WORD];
		size_t right;

		memcpy(words, content(&channel, &block), sizeof(words));
		right = in_order(words + 1, 16 * KIB / WORD - 1, words[0]) + 1;
		check(right == 16 * KIB / WORD, "block %u: word %zu", block.index, right);
		sequence = block.sequence;
		lost += block.lost;
		records++;
		recycle(&channel, block.index);
	} while (read(channel.fd, &block, sizeof(block)) == sizeof(block));
	stats = channel_stats(&channel);
	check(stats.completed == sequence + 1 && records + lost == stats.completed,
	      "completed %llu, last %" PRIu64 ", %" PRIu64 " records, %" PRIu64 " lost",
	      stats.completed, sequence, records, lost);
	check(stats.overruns == lost, "%llu overruns, %" PRIu64 " lost", stats.overruns, lost);
	point("nobody reads: the oldest blocks are taken back, and counted");

	channel_stop_often(&channel, 60);
	run_anywhere();
	channel_close(&channel);
	point("nobody reads: stopped while blocks are taken back, and started again");
}

/* What comes after a stop is new, whatever the engine was at. */
static void test_timer_stop(void)
{
	struct channel channel = channel_open();
	struct timer_check timer;
	uint64_t sequence = 0;

	channel_setup(&channel, 256 * KIB, BLOCK_COUNT, DMACAST_SETUP_STALL);
	channel_map(&channel);
	for (unsigned int n = 0; n < 12; n++) {
		struct dmacast_stats stats;
		struct dmacast_block block;

		timer = timer_begin(sequence);
		channel_start(&channel);
		sleep_ms(n * 7);
		channel_stop(&channel);
		stats = channel_stats(&channel);
		check(!stats.blocks_queued && !stats.running, "%u queued", stats.blocks_queued);
		while (read(channel.fd, &block, sizeof(block)) == sizeof(block)) {
			timer_block(&channel, &timer, &block);
			recycle(&channel, block.index);
		}
		check(errno == ENODATA, "read: %m");
		sequence = timer.sequence;
		stats = channel_stats(&channel);
		check(stats.blocks_free == BLOCK_COUNT && stats.completed == sequence,
		      "%u free, %llu completed, not %" PRIu64, stats.blocks_free, stats.completed,
		      sequence);
	}
	timer = timer_begin(sequence);
	channel_start(&channel);
	timer_rounds(&channel, &timer, 2 * BLOCK_COUNT);
	channel_close(&channel);
	point("stopped in the middle of a transfer, and started again");

	for (unsigned int n = 0; n < 6; n++) {
		channel = channel_open();
		channel_setup(&channel, 256 * KIB, BLOCK_COUNT, DMACAST_SETUP_STALL);
		channel_start(&channel);
		sleep_ms(n * 5);
		channel_close(&channel);
	}
	test_timer(256 * KIB, 0, BLOCK_COUNT,
		   "closed in the middle of a transfer, and opened again");
}

static void test_timer_unbind(void)
{
	struct dmacast_block blocks[3];
	uint64_t sums[3];

	for (unsigned int n = 0; n < 3; n++) {
		struct channel channel = channel_run(64 * KIB, BLOCK_COUNT, DMACAST_SETUP_STALL);

		need(channel_read(&channel, blocks, 3, 30) == 3, "no blocks");
		for (unsigned int i = 0; i < 3; i++)
			sums[i] = hash(content(&channel, &blocks[i]), blocks[i].length);
		sleep_ms(n * 20);
		unbind();
		refused(read(channel.fd, &blocks[0], sizeof(blocks[0])), ENODEV);
		refused(ioctl(channel.fd, DMACAST_IOC_START), ENODEV);
		bind_again();
		for (unsigned int i = 0; i < 3; i++)
			check(hash(content(&channel, &blocks[i]), blocks[i].length) == sums[i],
			      "lent block %u has changed", blocks[i].index);
		channel_close(&channel);
	}
	test_timer(64 * KIB, 0, 2 * BLOCK_COUNT, "unbound while it runs, and bound again");
}

/* A ring whose size does not fit a word of the machine. */
static void test_word_size(void)
{
	struct channel channel = channel_open();

	if (sizeof(void *) > 4) {
		tap_skip("rings of 4 GiB and more", "the machine's words have 64 bits");
		channel_close(&channel);
		return;
	}
	refused(try_setup(&channel, 64 * MIB, 64, 0), EINVAL);
	refused(try_setup(&channel, 64 * MIB, 65, 0), EINVAL);
	refused(try_setup(&channel, 4 * KIB, 1048576, 0), EINVAL);
	/* In 32 bits that is two pages. */
	refused(try_setup(&channel, 12 * KIB, 349526, 0), EINVAL);
	channel_setup(&channel, 4 * KIB, 8, 0);
	channel_close(&channel);
	point("rings of 4 GiB and more are refused");
}

static void test_counter(const char *address)
{
	map_registers(address);
	test_word_size();
	test_timer(4 * KIB, 0, 200, "blocks of a page");
	test_timer(20 * KIB, 0, 60, "blocks of 5 pages");
	test_timer(1 * MIB, 0, 12, "blocks of 1 MiB");
	test_timer(64 * KIB, DMACAST_SETUP_CONTIGUOUS, 30, "contiguous blocks");
	test_timer_overrun();
	test_timer_stop();
	test_timer_unbind();
}

/* ---- The serial port ---- */

static void write_register(unsigned int offset, uint32_t value)
{
	registers[offset / sizeof(*registers)] = value;
}

static uint32_t engine_read_register(unsigned int offset)
{
	return registers[offset / sizeof(*registers)];
}

/* A reset would leave the port's request for a transfer. */
static void drain_port(const char *address)
{
	unsigned int bytes = 0;

	map_registers(address);
	while ((engine_read_register(UFSTAT) & UFSTAT_RECEIVED) && bytes < 256) {
		engine_read_register(URXH);
		bytes++;
	}
	check(!(engine_read_register(UFSTAT) & UFSTAT_RECEIVED), "it is not empty after %u bytes",
	      bytes);
	point("the port is empty");
}

static void set_up_port(void)
{
	write_register(ULCON, ULCON_8_BITS);
	write_register(UFCON, UFCON_ENABLE | UFCON_RECEIVE_RESET);
	write_register(UCON, UCON_RECEIVE_BY_DMA);
}

/* The pattern may begin anywhere in a word. Return: the offset of the first byte; UINT64_MAX: none. */
static uint64_t locate(const unsigned char *bytes)
{
	uint64_t offset;

	for (unsigned int shift = 0; shift < PATTERN_WORD; shift++) {
		if (pattern_locate(bytes + shift, &offset) && offset >= shift)
			return offset - shift;
	}
	return UINT64_MAX;
}

/* Check one block. Return: the stream's offset of its first byte. */
static uint64_t serial_block(const struct channel *channel, const struct dmacast_block *block)
{
	const unsigned char *bytes = content(channel, block);
	uint64_t offset = locate(bytes);
	size_t right;

	need(offset != UINT64_MAX, "sequence %llu: no pattern", block->sequence);
	right = pattern_check(bytes, block->length, offset);
	check(block->length == channel->block_size && right == block->length,
	      "sequence %llu, from offset %" PRIu64 ": %zu of %llu bytes are right",
	      block->sequence, offset, right, block->length);
	return offset;
}

/* Without a loss, also before the first one if @next is not 0. Return: the offset after the last one. */
static uint64_t serial_rounds(const struct channel *channel, uint64_t next, uint64_t sequence,
			      unsigned int count)
{
	for (unsigned int n = 0; n < count; n++) {
		struct dmacast_block block = read_one(channel);
		uint64_t offset = serial_block(channel, &block);

		check(!next || offset == next, "sequence %llu: offset %" PRIu64 " after %" PRIu64,
		      block.sequence, offset, next);
		check(block.sequence == sequence + n && !block.lost, "sequence %llu, lost %llu",
		      block.sequence, block.lost);
		next = offset + block.length;
		recycle(channel, block.index);
	}
	return next;
}

/* Bytes that went with transfers that were ended. */
static uint64_t cut_off;

/*
 * The port keeps what comes while the engine does not take it; so only what it took for the block that
 * was being filled, of at most @most bytes, is lost. Return: the offset after the first block.
 */
static uint64_t serial_resume(const struct channel *channel, uint64_t next, uint64_t most,
			      const char *what)
{
	struct dmacast_block block = read_one(channel);
	uint64_t offset = serial_block(channel, &block);

	check(block.sequence == 0, "sequence %llu", block.sequence);
	check(offset >= next && offset - next < most, "%s: offset %" PRIu64 " after %" PRIu64, what,
	      offset, next);
	cut_off += offset - next;
	recycle(channel, block.index);
	return offset + block.length;
}

/* Long enough for a part of a block, not long enough for all of it. */
#define PART_MS 50
#define PART_OF (64 * KIB)

static void test_port(const char *address)
{
	struct channel channel;
	struct dmacast_stats stats;
	uint64_t next;

	map_registers(address);
	set_up_port();
	channel = channel_run(4 * KIB, BLOCK_COUNT, DMACAST_SETUP_STALL);
	next = serial_rounds(&channel, 0, 0, 2 * BLOCK_COUNT);
	channel_stop(&channel);
	stats = channel_stats(&channel);
	check(!stats.errors && !stats.short_transfers && !stats.stalls && !stats.overruns,
	      "%llu errors, %llu short, %llu stalls, %llu overruns", stats.errors,
	      stats.short_transfers, stats.stalls, stats.overruns);
	channel_close(&channel);
	point("paced: every byte, in order");

	channel = channel_run(PART_OF, BLOCK_COUNT, DMACAST_SETUP_STALL);
	for (unsigned int n = 0; n < 3; n++) {
		struct dmacast_block block;

		sleep_ms(PART_MS);
		channel_stop(&channel);
		refused(read(channel.fd, &block, sizeof(block)), ENODATA);
		stats = channel_stats(&channel);
		check(stats.blocks_free == BLOCK_COUNT, "%u free", stats.blocks_free);
		channel_start(&channel);
	}
	next = serial_resume(&channel, next, 3 * PART_OF, "stopped");
	sleep_ms(PART_MS);
	channel_close(&channel);
	point("stopped in the middle of a transfer, and started again");

	channel = channel_run(PART_OF, BLOCK_COUNT, DMACAST_SETUP_STALL);
	next = serial_resume(&channel, next, PART_OF, "closed");
	sleep_ms(PART_MS);
	unbind();
	bind_again();
	channel_close(&channel);
	point("closed in the middle of a transfer, and opened again");

	channel = channel_run(16 * KIB, BLOCK_COUNT, DMACAST_SETUP_STALL);
	next = serial_resume(&channel, next, PART_OF, "unbound");
	serial_rounds(&channel, next, 1, 2);
	channel_close(&channel);
	check(cut_off > 0, "it was never in the middle");
	point("unbound in the middle of a transfer, and bound again");
}

/* ---- A stream from outside ---- */

static void engine_check_stream(void)
{
	uint32_t words[4096], last = 0;
	uint64_t total = 0;
	size_t count;

	while ((count = fread(words, WORD, sizeof(words) / WORD, stdin)) > 0) {
		size_t right = in_order(words + !total, count - !total, total ? last : words[0]);

		check(right == count - !total, "word %" PRIu64 " is not in order", total + right);
		last = words[count - 1];
		check(count < 1024 || last != words[0], "%zu words from word %" PRIu64 " on are %u",
		      count, total, last);
		total += count;
	}
	check(total > 0, "nothing came");
	point("%" PRIu64 " values are in order", total);
}

int main(int argc, char **argv)
{
	is_strict = argc > 2 && !strcmp(argv[argc - 1], "strict");
	if (argc > 1 && !strcmp(argv[1], "check")) {
		engine_check_stream();
		return tap_end();
	}
	begin_without_sim(argc, argv);
	need(argc > 3, "usage: see engine.c");
	if (!strcmp(argv[2], "timer"))
		test_counter(argv[3]);
	else if (!strcmp(argv[2], "serial"))
		test_port(argv[3]);
	else
		drain_port(argv[3]);
	return tap_end();
}
