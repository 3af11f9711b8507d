// SPDX-License-Identifier: BSD-2-Clause
/*
 * Generations of streams: what takes the place of a stream whose device is gone, that ended by itself
 * or that is restarted; how long its clients may stay; and what is counted under the name of all of
 * them.
 */
#include "stream/streams.h"

#include "lib/log.h"
#include "ring/ring_memory.h"
#include "stream/section.h"

#include "capture.h"
#include "streamworld.h"
#include "tap.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>

/* Open a stream that is not current yet, with its ring. */
static struct stream *prepare_stream(const struct stream_settings *settings)
{
	struct ring *ring = NULL;

	if (!settings->device)
		ring = ring_memory_create(settings->name, (size_t)settings->block_size,
					  (uint32_t)stream_settings_blocks(settings),
					  HUGE_PAGES_NEVER);
	return streams_prepare(world.streams, settings, ring, NULL);
}

#define DRAIN_US 200000U

static void device_settings(struct stream_settings *settings, const char *on_end)
{
	settings_begin(settings, "a", world.endpoint, "2M");
	settings_set(settings, "device", FAKE_PATH);
	settings_set(settings, "on-end", on_end);
}

/* A command that writes without end. */
static void command_settings(struct stream_settings *settings, const char *ring_size)
{
	settings_begin(settings, "a", world.endpoint, ring_size);
	settings_set(settings, "input", "exec:cat /dev/zero");
	settings_set(settings, "lag-policy", "block");
}

static void start_device(const char *on_end)
{
	struct stream_settings settings;

	streamworld_begin();
	device_settings(&settings, on_end);
	streamworld_start(&settings, 1);
	settings_end(&settings);
}

/* Connect a client, and let the device fill more than its sockets take. */
static int connect_stalled(void)
{
	int fd = streamworld_connect();

	check(fd >= 0, "no client");
	streamworld_run_ms(50);
	streamworld_fill();
	return fd;
}

static void unplug_device(void)
{
	fake.open_error = ENODEV;
	fake_unplug();
	streamworld_run_ms(50);
}

/* Plug another device in at the same path. The descriptor and the mapping of the former one remain. */
static void plug_in_again(void)
{
	unsigned int opens = fake.opens;

	fake_reset();
	fake.opens = fake.closes = opens;
}

static void add_name(void *argument, const struct name_report *report)
{
	struct name_report *sum = argument;

	check(!sum->name, "two names: %s, %s", sum->name, report->name);
	*sum = *report;
}

/* The report of the only name. */
static struct name_report name_report_get(void)
{
	struct name_report report = { 0 };

	streams_each_name(world.streams, add_name, &report);
	return report;
}

struct stream_list {
	struct stream *stream[8];
	unsigned int count;
};

static void add_stream_to_list(void *argument, struct stream *stream)
{
	struct stream_list *list = argument;

	list->stream[list->count++] = stream;
}

static struct stream_list stream_list_get(void)
{
	struct stream_list list = { 0 };

	streams_each(world.streams, add_stream_to_list, &list);
	return list;
}

static void test_device_lost(void)
{
	struct stream *former, *successor;
	struct stream_list list;
	struct name_report name;
	uint64_t bytes;
	int stalled[2];

	start_device("auto");
	former = streams_find(world.streams, "a");
	stalled[0] = connect_stalled();
	bytes = name_report_get().stats->bytes;
	check(bytes, "no byte");
	unplug_device();
	successor = streams_find(world.streams, "a");
	check(successor && successor != former, "no successor");
	check(!stream_has_ring(successor), "with a ring");
	check(stream_is_ending(former), "the former one goes on");
	list = stream_list_get();
	check(list.count == 2 && list.stream[0] == successor && list.stream[1] == former,
	      "%u streams", list.count);
	point("when a device is gone, a successor waits for it; the former stream ends");

	stalled[1] = streamworld_connect();
	check(stalled[1] >= 0, "refused");
	streamworld_run_ms(50);
	check(stream_clients(successor) == 1 && stream_clients(former) == 1,
	      "%" PRIu64 " and %" PRIu64 " clients", stream_clients(successor),
	      stream_clients(former));
	check(!streamworld_is_reset(stalled[0]), "reset");
	point("the endpoints are the successor's, the clients remain where they are");

	name = name_report_get();
	check(name.generations == 2 && name.clients == 2, "%u generations, %" PRIu64 " clients",
	      name.generations, name.clients);
	check(!strcmp(name.newest.state, "waiting"), "the newest is %s", name.newest.state);
	check(name.stats->bytes == bytes && name.stats->joined == 2,
	      "%" PRIu64 " bytes, %" PRIu64 " joined", name.stats->bytes, name.stats->joined);
	point("the name has both streams in its report, and one total");

	plug_in_again();
	check(streamworld_run_until(stream_has_ring(successor)), "not opened again");
	streamworld_fill();
	check(name_report_get().stats->bytes > bytes, "no more bytes");
	check(streams_find(world.streams, "a") == successor, "another successor");
	check(!streamworld_is_reset(stalled[0]), "reset");
	point("the successor opens the device that is back, and the total goes on");

	unplug_device();
	list = stream_list_get();
	check(streamworld_is_reset(stalled[0]), "the oldest client is not reset");
	check(!streamworld_is_reset(stalled[1]), "the newer client is reset");
	check(list.count == 2 && list.stream[1] == successor, "%u streams", list.count);
	name = name_report_get();
	check(name.stats->left_for[LEAVE_DEVICE_GONE] == 1, "%" PRIu64 " left for it",
	      name.stats->left_for[LEAVE_DEVICE_GONE]);
	close(stalled[0]);
	close(stalled[1]);
	streamworld_stop();
	point("when it is gone again, clients of the generation before the last are reset");
}

/* Wait until the next attempt is more than 3 seconds away. */
static uint64_t await_long_backoff(void)
{
	uint64_t attempt_ns;

	check(streamworld_run_until(fake.attempts >= 6), "%u attempts", fake.attempts);
	attempt_ns = clock_monotonic_ns();
	streamworld_run_ms(50);
	check(fake.attempts == 6, "%u attempts", fake.attempts);
	return attempt_ns + 3000000000U;
}

/* A device that appears is opened at once, and not only when udev has made it the group's. */
static void test_device_appears(void)
{
	char top[] = "/tmp/streams.XXXXXX", directory[64], path[80];
	struct stream_settings settings;
	struct capture capture;
	uint64_t next_ns;

	check(mkdtemp(top), "no directory");
	snprintf(directory, sizeof(directory), "%s/dmacast", top);
	snprintf(path, sizeof(path), "%s/fake", directory);
	streamworld_begin();
	fake_path = path;
	fake.open_error = ENOENT;
	settings_begin(&settings, "a", world.endpoint, "2M");
	settings_set(&settings, "device", path);
	settings_set(&settings, "on-end", "wait");
	capture_begin(&capture, STDERR_FILENO);
	log_set_level(LOG_LEVEL_WARNING);
	streamworld_start(&settings, 1);
	next_ns = await_long_backoff();
	check(!mkdir(directory, 0755), "no directory");
	check(streamworld_run_until(fake.attempts >= 7), "%u attempts", fake.attempts);
	fake.open_error = EACCES;
	check(!mknod(path, S_IFREG | 0600, 0), "no node");
	check(streamworld_run_until(fake.attempts >= 8), "%u attempts", fake.attempts);
	check(clock_monotonic_ns() < next_ns, "late");
	fake.open_error = 0;
	check(!chmod(path, 0660), "no chmod");
	check(streamworld_run_until(stream_has_ring(streams_find(world.streams, "a"))),
	      "not opened");
	check(clock_monotonic_ns() < next_ns, "late");
	log_set_level(LOG_LEVEL_ERROR);
	capture_end(&capture);
	check(strstr(capture.text, "not loaded"), "no warning: %s", capture.text);
	check(!strstr(capture.text, "Permission denied"), "a warning: %s", capture.text);
	streamworld_fill();
	check(name_report_get().stats->bytes, "no byte");
	streamworld_stop();
	settings_end(&settings);
	fake_path = FAKE_PATH;
	unlink(path);
	rmdir(directory);
	rmdir(top);
	point("a device that appears is opened at once, without a warning of the mode that udev is "
	      "to change");
}

static void test_prepared(void)
{
	struct stream_settings settings;
	struct stream *stream;
	struct stream_list list;

	start_device("auto");
	settings_begin(&settings, "b", "127.0.0.1:0", "2M");
	settings_set(&settings, "pattern", "1M/s");
	stream = prepare_stream(&settings);
	check(stream, "not prepared");
	list = stream_list_get();
	check(!streams_find(world.streams, "b"), "current");
	check(list.count == 1 && list.stream[0] != stream, "%u streams", list.count);
	streamworld_run_ms(50);
	check(!stream_bytes(stream), "%" PRIu64 " bytes", stream_bytes(stream));
	point("a prepared stream is not current, and does not run");

	streams_discard(world.streams, stream);
	settings_end(&settings);
	device_settings(&settings, "auto");
	streams_forget_others(world.streams, &settings, 1);
	check(name_report_get().name, "no name");
	check(stream_list_get().count == 1, "%u streams", stream_list_get().count);
	settings_end(&settings);
	streamworld_stop();
	point("a discarded one leaves nothing");
}

static void test_finished(void)
{
	struct stream_settings settings, other;
	struct stream *stream, *former;
	int stalled;

	start_device("close");
	device_settings(&settings, "close");
	former = streams_find(world.streams, "a");
	stalled = connect_stalled();
	check(!streams_is_finished(world.streams, &settings), "finished already");
	unplug_device();
	check(!streams_find(world.streams, "a"), "still current");
	check(stream_list_get().count == 1 && !world.all_ended, "ended");
	check(streams_is_finished(world.streams, &settings), "not finished");
	point("a stream that ends by itself has finished, while its clients get the rest");

	settings_begin(&other, "a", world.endpoint, "4M");
	settings_set(&other, "pattern", "1M/s");
	check(!streams_is_finished(world.streams, &other), "finished");
	stream = prepare_stream(&other);
	check(stream && endpoints_open(&stream_find_section(stream, NULL)->endpoints,
				       other.listen.item[0], LISTEN_NOW, NULL),
	      "not prepared");
	streams_begin(world.streams, stream);
	check(streams_find(world.streams, "a") == stream, "not current");
	check(!streams_is_finished(world.streams, &settings), "still finished");
	check(stream_list_get().stream[1] == former && !streamworld_is_reset(stalled),
	      "no former one");
	check(streamworld_run_until(stream_bytes(stream)), "does not run");
	close(stalled);
	streamworld_stop();
	settings_end(&settings);
	settings_end(&other);
	point("with other settings another one takes its place beside it");
}

static void test_finished_and_closed(void)
{
	struct stream_settings settings, other;
	struct stream *stream;

	start_device("close");
	device_settings(&settings, "close");
	unplug_device();
	check(world.all_ended == 1 && !stream_list_get().count, "not ended");
	check(streams_is_finished(world.streams, &settings), "not finished");
	device_settings(&other, "close");
	settings_set(&other, "low-water", "5");
	check(!streams_is_finished(world.streams, &other), "also with another option");
	check(name_report_get().name && !name_report_get().generations, "no name, or a stream");
	point("that a stream has ended by itself is remembered, with its settings and totals");

	plug_in_again();
	stream = prepare_stream(&settings);
	check(stream && stream_has_ring(stream), "not prepared");
	streams_begin(world.streams, stream);
	check(!streams_is_finished(world.streams, &settings), "still finished");
	streamworld_stop();
	settings_end(&settings);
	settings_end(&other);
	point("until a stream of that name begins");
}

static void test_forgotten(void)
{
	struct stream_settings settings;

	start_device("close");
	device_settings(&settings, "close");
	unplug_device();
	streams_forget_others(world.streams, &settings, 1);
	check(streams_is_finished(world.streams, &settings), "forgotten");
	check(name_report_get().name, "no name");
	streams_forget_others(world.streams, NULL, 0);
	check(!streams_is_finished(world.streams, &settings), "not forgotten");
	check(!name_report_get().name, "a name");
	settings_end(&settings);
	streamworld_close();
	point("names that are not configured any more are forgotten");
}

static void test_retired(void)
{
	struct stream_settings settings;
	struct stream *stream;
	int stalled;

	start_device("auto");
	device_settings(&settings, "auto");
	stalled = connect_stalled();
	stream = streams_find(world.streams, "a");
	streams_retire(world.streams, stream, DRAIN_US);
	check(!streams_find(world.streams, "a"), "still current");
	streamworld_run_ms(DRAIN_US / 2000);
	check(!streamworld_is_reset(stalled) && stream_list_get().count == 1, "reset at once");
	check(streamworld_run_until(streamworld_is_reset(stalled)), "not reset");
	check(streamworld_run_until(world.all_ended), "not ended");
	check(name_report_get().stats->left_for[LEAVE_STOPPING] == 1, "another reason");
	check(!streams_is_finished(world.streams, &settings), "it ended by itself");
	settings_end(&settings);
	close(stalled);
	streamworld_close();
	point("a retired stream resets its clients when their time is over");
}

static void drain_stalled(uint64_t first_us, uint64_t next_us, bool replace)
{
	struct stream_settings settings;
	struct stream *stream;
	int stalled;

	start_device("auto");
	device_settings(&settings, "auto");
	stalled = connect_stalled();
	stream = streams_find(world.streams, "a");
	streams_drain(world.streams, stream, first_us, false);
	check(!streams_find(world.streams, "a"), "still current");
	streamworld_run_ms(DRAIN_US / 2000);
	check(!streamworld_is_reset(stalled), "reset at once");
	streams_drain(world.streams, stream, next_us, replace);
	check(streamworld_run_until(streamworld_is_reset(stalled)), "not reset");
	check(streamworld_run_until(world.all_ended), "not ended");
	check(name_report_get().stats->left_for[LEAVE_STOPPING] == 1, "another reason");
	check(streams_is_finished(world.streams, &settings), "a reload would start it again");
	settings_end(&settings);
	close(stalled);
	streamworld_close();
}

static void test_drained(void)
{
	static const uint64_t hour_us = 3600000000U;

	drain_stalled(DRAIN_US, hour_us, false);
	point("a drained stream resets its clients when their time is over, and stays ended");
	drain_stalled(hour_us, 0, true);
	point("the time of a drained stream can be replaced");
}

static void check_name(void *argument, const struct name_report *report)
{
	unsigned int *names = argument;

	check(report->generations == 1, "%s: %u generations", report->name, report->generations);
	check(!strcmp(report->newest.name, report->name), "%s: the stream is %s", report->name,
	      report->newest.name);
	check(!strcmp(report->newest.state, "holding"), "%s: %s", report->name,
	      report->newest.state);
	++*names;
}

static void test_two_names(void)
{
	struct stream_settings settings[2];
	unsigned int names = 0;

	streamworld_begin();
	settings_begin(&settings[0], "a", world.endpoint, "2M");
	settings_begin(&settings[1], "b", "127.0.0.1:0", "2M");
	settings_set(&settings[0], "pattern", "1M/s");
	settings_set(&settings[1], "pattern", "1M/s");
	streamworld_open(settings, 2);
	streamworld_run_ms(50);
	streams_each_name(world.streams, check_name, &names);
	check(names == 2, "%u names", names);
	check(stream_list_get().count == 2, "%u streams", stream_list_get().count);
	point("streams that are opened wait for streams_start(), each reported by its name");

	streams_start(world.streams);
	check(streamworld_run_until(stream_bytes(streams_find(world.streams, "a")) &&
				    stream_bytes(streams_find(world.streams, "b"))),
	      "not started");
	streamworld_stop();
	settings_end(&settings[0]);
	settings_end(&settings[1]);
	point("and then both run");
}

/* A command is started for one stream at a time. */
static void test_command(void)
{
	struct stream_settings settings[2];
	struct stream *former, *stream;
	struct stream_report report;
	int stalled;

	streamworld_begin();
	command_settings(&settings[0], "2M");
	command_settings(&settings[1], "4M");
	streamworld_start(settings, 1);
	stalled = streamworld_connect();
	streamworld_run_ms(100);
	former = streams_find(world.streams, "a");
	check(stream_bytes(former), "no byte");
	stream = prepare_stream(&settings[1]);
	check(stream, "not prepared");
	streams_retire(world.streams, former, DRAIN_US);
	streams_begin(world.streams, stream);
	streamworld_run_ms(DRAIN_US / 2000);
	stream_report(stream, &report);
	check(!strcmp(report.state, "holding"), "%s", report.state);
	check(stream_list_get().count == 2, "%u streams", stream_list_get().count);
	check(streamworld_run_until(stream_bytes(stream)), "not started");
	check(streamworld_is_reset(stalled), "beside the former one");
	check(stream_list_get().count == 1, "%u streams", stream_list_get().count);
	close(stalled);
	streamworld_stop();
	settings_end(&settings[0]);
	settings_end(&settings[1]);
	point("a stream with a command starts when the former one has ended");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	world.base = event_base_new();
	test_device_lost();
	test_device_appears();
	test_prepared();
	test_finished();
	test_finished_and_closed();
	test_forgotten();
	test_retired();
	test_drained();
	test_two_names();
	test_command();
	event_base_free(world.base);
	return tap_end();
}
