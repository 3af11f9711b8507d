// SPDX-License-Identifier: BSD-2-Clause
/* The connections between the parts of a stream, with a real ring and clients over loopback. */
#include "stream/stream_internal.h"

#include "lib/log.h"
#include "ring/ring_type.h"

#include "streamworld.h"
#include "tap.h"

#include <signal.h>
#include <unistd.h>

static struct stream *start_pattern(void)
{
	struct stream_settings settings;

	streamworld_begin();
	settings_begin(&settings, "a", world.endpoint, "4M");
	settings_set(&settings, "pattern", "20M/s");
	settings_set(&settings, "zerocopy", "always");
	streamworld_start(&settings, 1);
	settings_end(&settings);
	return streams_find(world.streams, "a");
}

/* Receive what is there. Return true once a send of the one client is complete, and was copied. */
static bool receive_until_copied(const struct stream *stream, int fd)
{
	static char data[1 << 20];

	while (recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	return stream->copied_clients == 1;
}

/* The kernel copies on loopback. Then the block that came back last is the one in the CPU's cache. */
static void test_order_of_copied_blocks(void)
{
	struct stream *stream = start_pattern();
	int fd;

	check(stream->ring->reuse == RING_SEQUENTIAL, "order %d at first", stream->ring->reuse);
	fd = streamworld_connect();
	check(streamworld_run_until(receive_until_copied(stream, fd)), "no send is complete");
	check(stream->ring->reuse == RING_LIFO, "order %d for copies", stream->ring->reuse);
	close(fd);
	check(streamworld_run_until(!stream->clients), "the client is still there");
	check(stream->ring->reuse == RING_SEQUENTIAL, "order %d without clients",
	      stream->ring->reuse);
	streamworld_stop();
	point("where the kernel copies, the block that came back last is next");
}

/* ---- on-demand ---- */

static struct stream *start_on_demand(void)
{
	struct stream_settings settings;

	streamworld_begin();
	settings_begin(&settings, "a", world.endpoint, "4M");
	settings_set(&settings, "pattern", "20M/s");
	settings_set(&settings, "preamble", "1K");
	settings_set(&settings, "on-demand", "yes");
	settings_set(&settings, "linger", "0");
	streamworld_start(&settings, 1);
	settings_end(&settings);
	return streams_find(world.streams, "a");
}

/* Connect until the source runs and has filled a block, then leave until it is idle. */
static void run_once(struct stream *stream)
{
	uint64_t head = window_head(stream->window);
	int fd = streamworld_connect();

	check(streamworld_run_until(stream->state == STREAM_RUNNING), "it does not start");
	check(streamworld_run_until(window_head(stream->window) > head), "no block");
	check(!stream->preamble.pending, "the preamble is of no run");
	close(fd);
	check(streamworld_run_until(stream->state == STREAM_IDLE), "it does not stop");
}

static void test_stream_on_demand(void)
{
	struct stream *stream = start_on_demand();
	uint32_t epoch = stream->frames.epoch, former;
	uint64_t head, bytes;

	streamworld_run_ms(300);
	check(stream->state == STREAM_HOLDING && !stream->stats->bytes, "it runs without clients");
	run_once(stream);
	check(stream_frames_epoch_of(&stream->frames, 0) == epoch,
	      "the first run has another epoch");
	for (int run = 2; run <= 4; run++) {
		former = stream->frames.epoch;
		head = window_head(stream->window);
		bytes = stream->stats->bytes;
		check(stream->preamble.pending, "a client would get the former preamble");
		check(ring_free_blocks(stream->ring) == ring_blocks(stream->ring),
		      "a block is not free");
		streamworld_run_ms(100);
		check(window_head(stream->window) == head, "a block came");
		check(former != epoch, "the epoch goes on");
		run_once(stream);
		epoch = stream_frames_epoch_of(&stream->frames, head);
		check(epoch == former, "not the epoch that clients were told");
		check(window_head(stream->window) > head && stream->stats->bytes > bytes,
		      "sequences or totals begin again");
	}
	check(stream->stats->source_starts == 4 && !stream->stats->source_restarts,
	      "%u starts, %u restarts", (unsigned int)stream->stats->source_starts,
	      (unsigned int)stream->stats->source_restarts);
	streamworld_stop();
	point("on-demand: each start is a run with an epoch of its own; the stream stays");

	stream = start_on_demand();
	streamworld_stop();
	point("on-demand: a stream that never ran ends");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	world.base = event_base_new();
	test_order_of_copied_blocks();
	test_stream_on_demand();
	event_base_free(world.base);
	return tap_end();
}
