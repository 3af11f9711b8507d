/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams in an event loop, with settings as text, and clients that connect but do not read. One stream
 * at a time may have the fake device.
 */
#ifndef DMACAST_TEST_STREAMWORLD_H
#define DMACAST_TEST_STREAMWORLD_H

#include "config/option_table.h"
#include "lib/clock.h"
#include "lib/settings.h"
#include "stream/preparation.h"
#include "stream/reload.h"
#include "stream/streams.h"

#include "fakedevice.h"
#include "runloop.h"
#include "tap.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define WORLD_BLOCK "128K"
#define WORLD_BLOCK_BYTES (128U << 10)

static struct {
	struct event_base *base;
	struct streams *streams;
	struct sockaddr_in address; /* of the one endpoint, */
	char endpoint[32];	    /* and as text */
	unsigned int all_ended;	    /* calls */
} world;

/* ---- settings ---- */

static inline void settings_set(struct stream_settings *settings, const char *name,
				const char *text)
{
	char expected[OPTION_ERROR_TEXT];

	if (!option_set(option_find(OPTION_STREAM, name), OPTION_STREAM, settings, text, expected))
		errx(1, "%s = %s: expected %s", name, text, expected);
}

/* A stream without a source. */
static inline void settings_begin(struct stream_settings *settings, const char *name,
				  const char *endpoint, const char *ring_size)
{
	memset(settings, 0, sizeof(*settings));
	option_set_defaults(OPTION_STREAM, settings);
	settings->name = strdup(name);
	settings_set(settings, "listen", endpoint);
	settings_set(settings, "block-size", WORLD_BLOCK);
	settings_set(settings, "ring-size", ring_size);
	/* A process makes huge pages. When it ends, valgrind looks at all of the memory that it did not get. */
	settings_set(settings, "huge-pages", "never");
}

static inline void settings_end(struct stream_settings *settings)
{
	stream_settings_clear(settings);
}

/* ---- the event loop ---- */

static inline void streamworld_run_ms(unsigned int milliseconds)
{
	runloop_ms(world.base, milliseconds);
}

/* Run until @expression is true, but not forever. Its value at the end. */
#define streamworld_run_until(expression)                         \
	({                                                        \
		for (int i_ = 0; i_ < 500 && !(expression); i_++) \
			streamworld_run_ms(10);                   \
		(expression);                                     \
	})

/* ---- streams ---- */

static inline void streamworld_count_end(void *argument)
{
	(void)argument;
	world.all_ended++;
}

static const struct streams_callbacks streamworld_callbacks = { .all_ended =
									streamworld_count_end };

/* Choose a port that is free now for the endpoint, and plug the fake device in. */
static inline void streamworld_begin(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(world.address);

	fake_reset();
	world.address = (struct sockaddr_in){ .sin_family = AF_INET };
	world.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&world.address, length) ||
	    getsockname(fd, (struct sockaddr *)&world.address, &length))
		err(1, "no port");
	close(fd);
	snprintf(world.endpoint, sizeof(world.endpoint), "127.0.0.1:%u",
		 ntohs(world.address.sin_port));
	world.all_ended = 0;
}

/* ---- changes of the streams, as the daemon makes them ---- */

static struct {
	bool ready, failed;
} world_preparation;

static inline void streamworld_ready(void *argument)
{
	(void)argument;
	world_preparation.ready = true;
}

static inline void streamworld_failed(void *argument)
{
	(void)argument;
	world_preparation.failed = true;
}

static inline void streamworld_step(void *argument)
{
	(void)argument;
}

/* Prepare, and reload as soon as it is ready. */
static inline bool streamworld_reload(const struct stream_settings *settings, size_t count,
				      uint64_t drain_us)
{
	static const struct preparation_callbacks callbacks = {
		.ready = streamworld_ready,
		.failed = streamworld_failed,
		.begin_step = streamworld_step,
		.end_step = streamworld_step,
	};
	struct preparation *preparation = preparation_start(world.base, world.streams, settings,
							    count, NULL, &callbacks, NULL);
	bool done;

	world_preparation.ready = world_preparation.failed = false;
	while (preparation && !world_preparation.ready && !world_preparation.failed)
		event_base_loop(world.base, EVLOOP_ONCE);
	done = preparation && world_preparation.ready &&
	       reload_streams(world.streams, settings, count, drain_us, preparation);
	preparation_free(preparation);
	return done;
}

static inline void streamworld_open(const struct stream_settings *settings, size_t count)
{
	world.streams = streams_create(world.base, &streamworld_callbacks, NULL);
	if (!world.streams || !streamworld_reload(settings, count, 0))
		errx(1, "no streams");
}

static inline void streamworld_start(const struct stream_settings *settings, size_t count)
{
	streamworld_open(settings, count);
	streams_start(world.streams);
	streamworld_run_ms(10);
}

static inline void streamworld_close(void)
{
	check(streams_close(world.streams), "not complete");
	check(fake.fd < 0 && !fake.mapped && fake.opens == fake.closes && !fake.faults,
	      "%u opens, %u closes, %u faults", fake.opens, fake.closes, fake.faults);
}

static inline void streamworld_stop(void)
{
	world.all_ended = 0;
	streams_stop(world.streams);
	streamworld_run_until(world.all_ended);
	check(world.all_ended == 1, "ended %u times", world.all_ended);
	streamworld_close();
}

/* ---- clients ---- */

/* Return: a connection that does not read, or -1. */
static inline int streamworld_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), little = 8192;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	if (fd < 0 || connect(fd, (struct sockaddr *)&world.address, sizeof(world.address)))
		return -1;
	return fd;
}

/* Return true if the connection was reset. Reads nothing. */
static inline bool streamworld_is_reset(int fd)
{
	struct pollfd socket = { .fd = fd };

	return poll(&socket, 1, 0) == 1 && socket.revents & POLLERR;
}

/* Let the fake device fill more than the sockets of stalled clients take. */
static inline void streamworld_fill(void)
{
	for (int i = 0; i < 100; i++) {
		fake_fill(WORLD_BLOCK_BYTES, 0, 0);
		streamworld_run_ms(2);
	}
}

#endif
