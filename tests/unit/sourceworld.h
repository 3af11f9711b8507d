/* SPDX-License-Identifier: BSD-2-Clause */
/* One source that reads into a ring in memory, and all that it hands on and calls: bytes, and numbers of calls. */
#ifndef DMACAST_TEST_SOURCEWORLD_H
#define DMACAST_TEST_SOURCEWORLD_H

#include "ring/ring_memory.h"
#include "source/command.h"
#include "source/source.h"

#include "capture.h"
#include "lib/frame.h"
#include "lib/log.h"
#include "tap.h"

#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK_SIZE ((size_t)4096)
#define BLOCKS 16U
#define MAX_BYTES (1U << 20)
#define PATIENCE_MS 10000

static char stream_name[] = "adc";
/* Upper bound of the bytes that one test gives; MAX_BYTES at most. */
static size_t most_bytes;

static struct {
	struct event_base *base;
	struct stream_settings settings;
	struct ring *ring;
	struct source *source;
	char input[256];
	bool keeps; /* blocks are held instead of given back at once */
	struct block *held[BLOCKS];
	uint32_t held_count;
	struct capture log;
} world;

/* The source may be in one process and then in another: this memory is shared by both. */
static struct handed {
	unsigned char byte[MAX_BYTES];
	size_t bytes;
	uint32_t length[MAX_BYTES / BLOCK_SIZE]; /* of each block */
	uint32_t blocks;
	/* Calls. */
	uint32_t readies, ups, downs, runs, restarts, ends, starved, broken, writable, unwritable,
		idle, switches, descriptions;
	char why[128]; /* of the end */
	/* Of a relay. */
	struct frame frame; /* of the last block */
	uint64_t missed;    /* blocks */
} * handed;

/* ---- callbacks ---- */

static void sourceworld_take(void *argument, struct block *block)
{
	(void)argument;
	if (handed->bytes + block->length > most_bytes || handed->blocks == most_bytes / BLOCK_SIZE)
		errx(1, "more than a test gives");
	memcpy(handed->byte + handed->bytes, block->data, block->length);
	handed->bytes += block->length;
	handed->length[handed->blocks++] = block->length;
	if (world.keeps)
		world.held[world.held_count++] = block;
	else
		ring_put(world.ring, block);
}

static void sourceworld_make_room(void *argument)
{
	(void)argument;
}

static void sourceworld_ready(void *argument)
{
	(void)argument;
	handed->readies++;
	errno = EPIPE; /* as after a send to a client that is gone */
}

static size_t sourceworld_budget(void *argument)
{
	(void)argument;
	return BLOCKS * BLOCK_SIZE;
}

static void sourceworld_ended(void *argument, const char *why)
{
	(void)argument;
	handed->ends++;
	snprintf(handed->why, sizeof(handed->why), "%s", why);
}

static void sourceworld_down(void *argument, const char *why)
{
	(void)argument;
	(void)why;
	handed->downs++;
}

static void sourceworld_identify(void *argument, const struct frame *frame, bool restarts,
				 uint64_t missed)
{
	(void)argument;
	(void)restarts;
	handed->frame = *frame;
	handed->missed += missed;
}

static void sourceworld_describe(void *argument, const struct frame *frame, const void *payload)
{
	(void)argument;
	(void)frame;
	(void)payload;
	handed->descriptions++;
}

#define SOURCEWORLD_COUNTER(name)                      \
	static void sourceworld_##name(void *argument) \
	{                                              \
		(void)argument;                        \
		handed->name++;                        \
	}

SOURCEWORLD_COUNTER(ups)
SOURCEWORLD_COUNTER(runs)
SOURCEWORLD_COUNTER(restarts)
SOURCEWORLD_COUNTER(starved)
SOURCEWORLD_COUNTER(broken)
SOURCEWORLD_COUNTER(writable)
SOURCEWORLD_COUNTER(unwritable)
SOURCEWORLD_COUNTER(idle)
SOURCEWORLD_COUNTER(switches)

static const struct source_callbacks sourceworld_callbacks = {
	.make_room = sourceworld_make_room,
	.block_filled = sourceworld_take,
	.record_broken = sourceworld_broken,
	.starved = sourceworld_starved,
	.ready = sourceworld_ready,
	.budget = sourceworld_budget,
	.restarted = sourceworld_restarts,
	.up = sourceworld_ups,
	.down = sourceworld_down,
	.run_begins = sourceworld_runs,
	.writable = sourceworld_writable,
	.unwritable = sourceworld_unwritable,
	.identified = sourceworld_identify,
	.described = sourceworld_describe,
	.switched = sourceworld_switches,
	.ended = sourceworld_ended,
	.idle = sourceworld_idle,
};

/* ---- the source ---- */

/* Begin a program of tests. @directory: as of mkdtemp(); @most: bytes that one test gives */
static inline void sourceworld_init(char *directory, size_t most)
{
	most_bytes = most;
	unsetenv("JOURNAL_STREAM");
	log_init("test");
	signal(SIGPIPE, SIG_IGN);
	handed = mmap(NULL, sizeof(*handed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (handed == MAP_FAILED || !mkdtemp(directory))
		err(1, "%s", directory);
}

/* Set up one test, with the settings for `input` = @format and otherwise defaults. */
static inline void sourceworld_begin(const char *format, va_list args)
{
	memset(&world, 0, sizeof(world));
	memset(handed, 0, sizeof(*handed));
	vsnprintf(world.input, sizeof(world.input), format, args);
	world.settings.name = stream_name;
	world.settings.input.first = world.input;
	world.settings.block_size = BLOCK_SIZE;
	world.settings.ring_size = BLOCKS * BLOCK_SIZE;
	world.settings.low_water = 1;
}

/* Open the source on a new ring. Return: false if it cannot be opened. */
static inline bool sourceworld_open(void)
{
	world.base = event_base_new();
	world.ring = ring_memory_create(stream_name, BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	if (!world.base || !world.ring)
		errx(1, "no ring");
	world.source = source_open(world.base, &world.settings, world.ring, NULL,
				   &sourceworld_callbacks, NULL);
	return world.source;
}

static inline void sourceworld_give_back(void)
{
	while (world.held_count)
		ring_put(world.ring, world.held[--world.held_count]);
}

/* Close all, and see that each block came back. Return: what was logged since capture_begin(). */
static inline const char *sourceworld_end(void)
{
	if (world.source)
		source_close(world.source);
	capture_end(&world.log);
	sourceworld_give_back();
	check(ring_free_blocks(world.ring) == BLOCKS, "%u of %u blocks are free at the end",
	      ring_free_blocks(world.ring), BLOCKS);
	ring_destroy(world.ring);
	command_forget_released(world.base);
	check(event_base_get_num_events(world.base, EVENT_BASE_COUNT_ADDED) == 0,
	      "events of the source are left");
	event_base_free(world.base);
	return world.log.text;
}

/* ---- what it reads ---- */

static inline unsigned char test_byte_at(size_t offset)
{
	return (unsigned char)(offset * 167 + offset / 256 * 13);
}

/* Write bytes @from to @to of the test's stream. */
static inline void write_bytes(int fd, size_t from, size_t to)
{
	unsigned char byte[4096];

	while (from < to) {
		size_t length = to - from < sizeof(byte) ? to - from : sizeof(byte);
		ssize_t n;

		for (size_t i = 0; i < length; i++)
			byte[i] = test_byte_at(from + i);
		n = write(fd, byte, length);
		if (n <= 0)
			err(1, "write");
		from += (size_t)n;
	}
}

/* See that the bytes from @at on are those from @from on of the test's stream. */
static inline void check_bytes(size_t at, size_t from, size_t to)
{
	for (size_t i = 0; i < to - from; i++) {
		if (!check(handed->byte[at + i] == test_byte_at(from + i), "byte %zu is wrong",
			   at + i))
			return;
	}
}

/* Return: the end of a new pipe to write to, whose other one is standard input. */
static inline int pipe_to_stdin(void)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) || dup2(ends[0], STDIN_FILENO) < 0)
		err(1, "pipe");
	close(ends[0]);
	return ends[1];
}

#endif
