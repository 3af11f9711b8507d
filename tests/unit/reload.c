// SPDX-License-Identifier: BSD-2-Clause
/*
 * A device has one owner: what a reload does with streams of a device, seen from its side. The clients,
 * and everything that a reload does with other sources, are in tests/t/33-reload.t.
 */
#include "stream/reload.h"

#include "lib/log.h"
#include "stream/section.h"

#include "streamworld.h"
#include "tap.h"

#include <signal.h>
#include <stdlib.h>

#define DRAIN_US 200000U

/* One stream of the device. */
static void reload_settings(struct stream_settings *settings, const char *name,
			    const char *ring_size, const char *low_water)
{
	settings_begin(settings, name, world.endpoint, ring_size);
	settings_set(settings, "device", FAKE_PATH);
	settings_set(settings, "low-water", low_water);
}

static bool reload_to(const char *name, const char *ring_size, const char *low_water)
{
	struct stream_settings settings;
	bool done;

	reload_settings(&settings, name, ring_size, low_water);
	done = streamworld_reload(&settings, 1, DRAIN_US);
	settings_end(&settings);
	return done;
}

static void reload_start(void)
{
	struct stream_settings settings;

	streamworld_begin();
	reload_settings(&settings, "a", "2M", "auto");
	streamworld_start(&settings, 1);
	settings_end(&settings);
}

static void test_nothing_changes(void)
{
	reload_start();
	check(fake.opens == 1 && fake.starts == 1, "%u opens", fake.opens);
	check(reload_to("a", "2M", "auto"), "refused");
	check(reload_to("a", "2M", "3"), "refused");
	streamworld_run_ms(50);
	check(fake.opens == 1 && fake.starts == 1 && !fake.stops, "%u opens, %u starts, %u stops",
	      fake.opens, fake.starts, fake.stops);
	streamworld_stop();
	point("a device is left alone when the ring is the same");
}

static void test_other_ring(void)
{
	reload_start();
	check(reload_to("a", "4M", "auto"), "refused");
	check(fake.opens == 1 && fake.stops == 1, "%u opens, %u stops", fake.opens, fake.stops);
	check(streamworld_run_until(fake.opens == 2), "%u opens", fake.opens);
	check(fake.closes == 1 && fake.starts == 2 && fake.setup.block_count == 32,
	      "%u closes, %u starts, %u blocks", fake.closes, fake.starts, fake.setup.block_count);
	streamworld_stop();
	point("another ring: the device is opened when the former stream has closed it");
}

static void test_other_name(void)
{
	reload_start();
	check(reload_to("b", "2M", "auto"), "refused");
	check(streamworld_run_until(fake.opens == 2), "%u opens", fake.opens);
	check(!streams_find(world.streams, "a") && streams_find(world.streams, "b"),
	      "another stream");
	streamworld_stop();
	point("another name: the new stream has the device after the former one");
}

static void test_stalled_client(void)
{
	int fd;

	reload_start();
	fd = streamworld_connect();
	check(fd >= 0, "no client");
	streamworld_run_ms(50);
	streamworld_fill();
	check(reload_to("a", "4M", "auto"), "refused");
	streamworld_run_ms(DRAIN_US / 2000);
	check(fake.opens == 1 && !fake.closes, "%u opens, %u closes while a client is there",
	      fake.opens, fake.closes);
	check(streamworld_connect() >= 0, "refused meanwhile");
	check(streamworld_run_until(fake.opens == 2) && fake.closes == 1, "%u opens, %u closes",
	      fake.opens, fake.closes);
	close(fd);
	streamworld_stop();
	point("a stalled client keeps the ring until drain-timeout, and nobody is refused "
	      "meanwhile");
}

static void test_missing(void)
{
	struct stream_settings settings[2];

	reload_start();
	reload_settings(&settings[0], "a", "4M", "auto");
	settings_begin(&settings[1], "none", "127.0.0.1:0", "4M");
	settings_set(&settings[1], "device", "/dev/dmacast/no-such-device");
	log_set_level(LOG_LEVEL_ERROR - 1);
	check(!streamworld_reload(settings, 2, DRAIN_US), "taken");
	log_set_level(LOG_LEVEL_ERROR);
	settings_end(&settings[0]);
	settings_end(&settings[1]);
	streamworld_run_ms(50);
	check(fake.opens == 1 && !fake.stops, "%u opens, %u stops", fake.opens, fake.stops);
	check(stream_settings(streams_find(world.streams, "a"))->ring_size == 2 << 20, "changed");
	streamworld_stop();
	point("a device that is missing: refused, and the other ring is as it was");
}

static void test_reload_waiting(void)
{
	reload_start();
	fake.open_error = ENODEV;
	fake_unplug();
	streamworld_run_ms(50);
	check(fake.closes == 1 && streams_find(world.streams, "a"), "not waiting");
	check(reload_to("a", "8M", "auto"), "refused while it is missing");
	streamworld_run_ms(50);
	fake.gone = false;
	fake.open_error = 0;
	fake.running = false;
	check(fake.opens == 1, "opened again at once");
	check(reload_to("a", "4M", "auto"), "refused");
	check(streamworld_run_until(fake.opens == 2) && fake.setup.block_count == 32,
	      "%u opens, %u blocks", fake.opens, fake.setup.block_count);
	streamworld_stop();
	point("while the device is waited for: the next ring is the one that is asked for");
}

/* Return the number of endpoints in a section of the current stream; -1: there is no such section. */
static int endpoints_of(const char *stream, const char *section)
{
	const struct stream *current = streams_find(world.streams, stream);
	const struct section *found = current ? stream_find_section(current, section) : NULL;

	return found ? (int)found->endpoints.count : -1;
}

/* Add a section to settings that have none. */
static void reload_add_section(struct stream_settings *settings, const char *name)
{
	bool *is_set = calloc(option_count, sizeof(*is_set));
	struct endpoint_settings endpoint = { .name = strdup(name) };
	char expected[OPTION_ERROR_TEXT];

	option_set(option_find(OPTION_ENDPOINT, "listen"), OPTION_ENDPOINT, &endpoint,
		   "127.0.0.1:0", expected);
	check(is_set && option_inherit(&endpoint, settings, is_set) &&
		      stream_settings_add_endpoint(settings, &endpoint),
	      "no memory");
	free(is_set);
}

/* A section outlives the device and a new ring, and is added and removed beside a client of the stream. */
static void test_reload_sections(void)
{
	struct stream_settings settings;
	int fd;

	reload_start();
	fd = streamworld_connect();
	reload_settings(&settings, "a", "2M", "auto");
	reload_add_section(&settings, "e");
	check(streamworld_reload(&settings, 1, DRAIN_US), "refused");
	check(endpoints_of("a", "e") == 1 && endpoints_of("a", NULL) == 1, "%d endpoints",
	      endpoints_of("a", "e"));
	check(fake.opens == 1 && !fake.stops, "the stream was restarted");
	point("a section is added to a stream that goes on");

	fake.open_error = ENODEV;
	fake_unplug();
	streamworld_run_ms(50);
	check(endpoints_of("a", "e") == 1, "%d endpoints", endpoints_of("a", "e"));
	point("the stream that waits for the device has the endpoints of all sections");

	fake.gone = false;
	fake.open_error = 0;
	fake.running = false;
	check(streamworld_run_until(fake.opens == 2), "%u opens", fake.opens);
	settings.ring_size *= 2;
	check(streamworld_reload(&settings, 1, DRAIN_US), "refused");
	check(endpoints_of("a", "e") == 1, "%d endpoints", endpoints_of("a", "e"));
	check(streamworld_run_until(fake.opens == 3), "%u opens", fake.opens);
	point("and so has the one with another ring");

	check(reload_to("a", "4M", "auto"), "refused");
	check(endpoints_of("a", "e") == -1 && endpoints_of("a", NULL) == 1, "not removed");
	settings_end(&settings);
	close(fd);
	streamworld_stop();
	point("a section is removed");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	world.base = event_base_new();
	test_nothing_changes();
	test_other_ring();
	test_other_name();
	test_stalled_client();
	test_missing();
	test_reload_waiting();
	test_reload_sections();
	event_base_free(world.base);
	return tap_end();
}
