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

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	world.base = event_base_new();
	test_order_of_copied_blocks();
	event_base_free(world.base);
	return tap_end();
}
