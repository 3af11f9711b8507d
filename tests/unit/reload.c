// SPDX-License-Identifier: BSD-2-Clause
/*
 * A device has one owner: what a reload does with streams of a device, seen from its side. The clients,
 * and everything that a reload does with other sources, are in tests/t/33-reload.t.
 */
#include "stream/reload.h"

#include "config/config.h"
#include "config/option.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "stream/streams.h"

#include "fakedevice.h"
#include "tap.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BLOCK "128K"
#define BLOCK_BYTES (128U << 10)
#define DRAIN_US 200000U

static struct event_base *base;
static struct streams *streams;
static char endpoint[32];
static struct sockaddr_in address;
static unsigned int all_ended;

static void count_end(void *argument)
{
	(void)argument;
	all_ended++;
}

static void choose_endpoint(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(address);

	address = (struct sockaddr_in){ .sin_family = AF_INET };
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    getsockname(fd, (struct sockaddr *)&address, &length))
		err(1, "no port");
	close(fd);
	snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", ntohs(address.sin_port));
}

/* A connection that does not read. */
static int connect_client(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), little = 8192;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return -1;
	return fd;
}

static void set(struct stream_settings *settings, const char *name, const char *text)
{
	char expected[OPTION_ERROR_TEXT];

	if (!option_set(option_find(OPTION_STREAM, name), settings, text, expected))
		errx(1, "%s = %s: expected %s", name, text, expected);
}

/* The configuration of one stream of the device. */
static void one_stream(struct config *config, const char *name, const char *ring_size,
		       const char *low_water)
{
	struct stream_settings *settings;
	const char *wrong;

	config_init(config);
	settings = config_add_stream(config, name, &wrong);
	set(settings, "device", FAKE_PATH);
	set(settings, "listen", endpoint);
	set(settings, "block-size", BLOCK);
	set(settings, "ring-size", ring_size);
	set(settings, "low-water", low_water);
}

static void run_ms(unsigned int milliseconds)
{
	uint64_t end = clock_monotonic_ns() + milliseconds * 1000000ULL;

	while (clock_monotonic_ns() < end) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
}

/* Until the device was opened so often, but not for ever. */
static bool run_until_opened(unsigned int opens)
{
	for (int i = 0; i < 500 && fake.opens < opens; i++)
		run_ms(10);
	return fake.opens == opens;
}

static bool reload(const char *name, const char *ring_size, const char *low_water)
{
	struct config config;
	bool done;

	one_stream(&config, name, ring_size, low_water);
	done = reload_streams(streams, config.streams, config.stream_count, DRAIN_US);
	config_free(&config);
	return done;
}

static void start(void)
{
	const struct streams_owner owner = { .all_ended = count_end };
	struct config config;

	fake_reset();
	choose_endpoint();
	one_stream(&config, "a", "2M", "auto");
	streams = streams_open(base, config.streams, config.stream_count, &owner);
	config_free(&config);
	if (!streams)
		errx(1, "no streams");
	streams_start(streams);
	run_ms(10);
}

static void stop(void)
{
	all_ended = 0;
	streams_stop(streams);
	for (int i = 0; i < 500 && !all_ended; i++)
		run_ms(10);
	check(all_ended == 1, "ended %u times", all_ended);
	check(streams_close(streams), "not complete");
	check(fake.fd < 0 && !fake.mapped && fake.opens == fake.closes && !fake.faults,
	      "%u opens, %u closes, %u faults", fake.opens, fake.closes, fake.faults);
}

static void test_nothing_changes(void)
{
	start();
	check(fake.opens == 1 && fake.starts == 1, "%u opens", fake.opens);
	check(reload("a", "2M", "auto"), "refused");
	check(reload("a", "2M", "3"), "refused");
	run_ms(50);
	check(fake.opens == 1 && fake.starts == 1 && !fake.stops, "%u opens, %u starts, %u stops",
	      fake.opens, fake.starts, fake.stops);
	stop();
	point("a device is left alone when the ring is the same");
}

static void test_other_ring(void)
{
	start();
	check(reload("a", "4M", "auto"), "refused");
	check(fake.opens == 1 && fake.stops == 1, "%u opens, %u stops", fake.opens, fake.stops);
	check(run_until_opened(2), "%u opens", fake.opens);
	check(fake.closes == 1 && fake.starts == 2 && fake.setup.block_count == 32,
	      "%u closes, %u starts, %u blocks", fake.closes, fake.starts, fake.setup.block_count);
	stop();
	point("another ring: the device is opened when the former stream has closed it");
}

static void test_other_name(void)
{
	start();
	check(reload("b", "2M", "auto"), "refused");
	check(run_until_opened(2), "%u opens", fake.opens);
	check(!streams_find(streams, "a") && streams_find(streams, "b"), "another stream");
	stop();
	point("another name: the new stream has the device after the former one");
}

static void test_stalled_client(void)
{
	int fd;

	start();
	fd = connect_client();
	check(fd >= 0, "no client");
	run_ms(50);
	for (int i = 0; i < 100; i++) {
		fake_fill(BLOCK_BYTES, 0, 0);
		run_ms(2);
	}
	check(reload("a", "4M", "auto"), "refused");
	run_ms(DRAIN_US / 2000);
	check(fake.opens == 1 && !fake.closes, "%u opens, %u closes while a client is there",
	      fake.opens, fake.closes);
	check(connect_client() >= 0, "refused meanwhile");
	check(run_until_opened(2) && fake.closes == 1, "%u opens, %u closes", fake.opens,
	      fake.closes);
	close(fd);
	stop();
	point("a stalled client keeps the ring until drain-timeout, and nobody is refused "
	      "meanwhile");
}

static void test_missing(void)
{
	struct config config;
	const char *wrong;
	struct stream_settings *settings;

	start();
	one_stream(&config, "a", "4M", "auto");
	settings = config_add_stream(&config, "none", &wrong);
	set(settings, "device", "/dev/dmacast/no-such-device");
	set(settings, "listen", "127.0.0.1:0");
	log_set_level(LOG_LEVEL_ERROR - 1);
	check(!reload_streams(streams, config.streams, config.stream_count, DRAIN_US), "taken");
	log_set_level(LOG_LEVEL_ERROR);
	config_free(&config);
	run_ms(50);
	check(fake.opens == 1 && !fake.stops, "%u opens, %u stops", fake.opens, fake.stops);
	check(stream_settings(streams_find(streams, "a"))->ring_size == 2 << 20, "changed");
	stop();
	point("a device that is missing: refused, and the other ring is as it was");
}

static void test_waiting(void)
{
	start();
	fake.open_error = ENODEV;
	fake_unplug();
	run_ms(50);
	check(fake.closes == 1 && streams_find(streams, "a"), "not waiting");
	check(reload("a", "8M", "auto"), "refused while it is missing");
	run_ms(50);
	fake.gone = false;
	fake.open_error = 0;
	fake.running = false;
	check(fake.opens == 1, "opened again at once");
	check(reload("a", "4M", "auto"), "refused");
	check(run_until_opened(2) && fake.setup.block_count == 32, "%u opens, %u blocks",
	      fake.opens, fake.setup.block_count);
	stop();
	point("while the device is waited for: the next ring is the one that is asked for");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	base = event_base_new();
	test_nothing_changes();
	test_other_ring();
	test_other_name();
	test_stalled_client();
	test_missing();
	test_waiting();
	event_base_free(base);
	return tap_end();
}
