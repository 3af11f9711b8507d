// SPDX-License-Identifier: BSD-2-Clause
/*
 * HTTP clients of a whole stream: what they do to `on-demand` and `hold`, where they begin in its history, and what
 * becomes of their requests when the stream changes, ends or waits for its device.
 */
#include "stream/stream_internal.h"

#include "lib/log.h"
#include "ring/ring.h"
#include "source/source.h"

#include "streamworld.h"
#include "tap.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Runs of one block each, and their length in bytes: all of them with metadata fit into `web`. */
#define RUNS (FRAMES_RUNS + 16)
#define RUN_BYTES 64

/* What a peer has received. */
static struct {
	char text[64 << 10];
	size_t length;
	bool ended;
} web;

static struct stream *web_stream(void)
{
	return streams_find(world.streams, "a");
}

static void web_settings(struct stream_settings *settings)
{
	streamworld_begin();
	settings_begin(settings, "a", world.endpoint, "4M");
	settings_set(settings, "format", "http");
	settings_set(settings, "linger", "0");
}

static struct stream *web_start(const char *option, const char *value)
{
	struct stream_settings settings;

	web_settings(&settings);
	settings_set(&settings, "pattern", "20M/s");
	settings_set(&settings, "retain", "1M");
	if (option)
		settings_set(&settings, option, value);
	streamworld_start(&settings, 1);
	settings_end(&settings);
	return web_stream();
}

/* Send @target as a request, or as much of one as @length says. Return: the connection. */
static int web_ask(const char *target, size_t length)
{
	char request[200];
	int fd = streamworld_connect();

	memset(&web, 0, sizeof(web));
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
	if (length > strlen(request))
		length = strlen(request);
	check(!length || send(fd, request, length, MSG_NOSIGNAL) == (ssize_t)length, "send");
	return fd;
}

/* Receive what is there. Return: false before the head of an answer is complete. */
static bool web_has_head(int fd)
{
	ssize_t n =
		recv(fd, web.text + web.length, sizeof(web.text) - 1 - web.length, MSG_DONTWAIT);

	if (n > 0)
		web.length += (size_t)n;
	web.ended |= n == 0;
	return strstr(web.text, "\r\n\r\n");
}

static bool web_ends(int fd)
{
	web_has_head(fd);
	return web.ended;
}

static bool web_is(const char *code)
{
	return !strncmp(web.text + strlen("HTTP/1.1 "), code, strlen(code));
}

/* Return the number of a header that is expected, or UINT64_MAX. */
static uint64_t web_number(const char *header, int base)
{
	const char *found = strstr(web.text, header);

	check(found, "no %s in: %.200s", header, web.text);
	return found ? strtoull(found + strlen(header), NULL, base) : UINT64_MAX;
}

static void web_close(int fd, bool by_reset)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (by_reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

/* ---- on-demand and hold ---- */

static void check_is_asleep(const struct stream *stream, const char *what)
{
	/* Longer than a client needs to be counted. */
	streamworld_run_ms(300);
	check(stream->state != STREAM_RUNNING && !stream->demand.active, "%s: state %u, %u active",
	      what, stream->state, (unsigned int)stream->demand.active);
}

static void test_what_starts_the_source(void)
{
	struct stream *stream = web_start("on-demand", "yes");
	int silent = web_ask("/", 0), half = web_ask("/", 9), fd;

	check_is_asleep(stream, "no complete request");
	check(stream->clients == 2, "%u clients", (unsigned int)stream->clients);
	fd = web_ask("/info", SIZE_MAX);
	check(streamworld_run_until(web_has_head(fd)) && web_is("200"), "%s", web.text);
	check_is_asleep(stream, "/info");
	close(fd);
	fd = web_ask("/?start=00000001:1", SIZE_MAX);
	check(streamworld_run_until(web_has_head(fd)) && web_is("409"), "%s", web.text);
	check_is_asleep(stream, "409");
	close(fd);
	fd = web_ask("/", SIZE_MAX);
	check(streamworld_run_until(stream->state == STREAM_RUNNING), "the feed does not start it");
	check(stream->demand.active == 1, "%u active", (unsigned int)stream->demand.active);
	web_close(fd, true);
	check(streamworld_run_until(stream->state == STREAM_IDLE), "it does not stop");
	check(stream->clients == 2, "%u clients", (unsigned int)stream->clients);
	close(silent);
	close(half);
	check(streamworld_run_until(!stream->clients), "they are still there");
	streamworld_stop();
	point("only a client that asks for the feed starts a source on demand");

	stream = web_start("hold", "2");
	fd = web_ask("/", SIZE_MAX);
	silent = web_ask("/", 0);
	streamworld_run_ms(300);
	check(stream->state == STREAM_HOLDING && stream->demand.active == 1 && stream->clients == 2,
	      "state %u, %u active", stream->state, (unsigned int)stream->demand.active);
	check(send(silent, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL) == 18, "send");
	check(streamworld_run_until(stream->state == STREAM_RUNNING), "it does not start");
	web_close(fd, true);
	web_close(silent, true);
	streamworld_stop();
	point("and only such clients count for hold");
}

/* Each way to leave is counted once: demand.active is asserted not to fall below 0. */
static void test_ways_to_leave(void)
{
	static const char *const way[] = { "FIN", "RST", "kick", "half-close", "end" };

	for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++) {
		struct stream *stream = web_start("on-demand", "yes");
		int fd;

		stream->settings->client.half_close = HALF_CLOSE_END;
		fd = web_ask("/", SIZE_MAX);
		check(streamworld_run_until(stream->state == STREAM_RUNNING), "%s: not started",
		      way[i]);
		check(streamworld_run_until(web_has_head(fd)), "%s: no feed", way[i]);
		if (i == 2)
			check(stream_kick(stream, NULL) == 1, "not kicked");
		if (i == 3)
			shutdown(fd, SHUT_WR);
		if (i < 2)
			web_close(fd, i == 1);
		if (i < 4) {
			check(streamworld_run_until(stream->state == STREAM_IDLE), "%s: it runs",
			      way[i]);
			check(!stream->demand.active, "%s: a client counts", way[i]);
		}
		if (i == 3)
			while (recv(fd, web.text, sizeof(web.text), MSG_DONTWAIT) > 0)
				streamworld_run_ms(1);
		if (i == 4)
			web_close(fd, true);
		check(streamworld_run_until(!stream->clients), "%s: it is there", way[i]);
		streamworld_stop();
		if (i >= 2 && i < 4)
			close(fd);
	}
	point("and each of them is counted until it leaves, in whatever way");
}

/* ---- history over pauses ---- */

static void test_resume_after_a_pause(void)
{
	struct stream *stream = web_start("on-demand", "yes");
	uint64_t head, sequence;
	uint32_t epoch;
	char target[100];
	int fd = web_ask("/", SIZE_MAX);

	check(streamworld_run_until(window_head(stream->window) > 8), "no blocks");
	web_close(fd, true);
	check(streamworld_run_until(stream->state == STREAM_IDLE), "it does not stop");
	head = window_head(stream->window);
	check(window_oldest(stream->window) < head, "nothing is retained in the pause");
	epoch = frame_epoch(window_block_at(stream->window, head - 1)->header);

	fd = web_ask("/?start=oldest&format=framed", SIZE_MAX);
	check(streamworld_run_until(web_has_head(fd)) && web_is("200"), "%s", web.text);
	sequence = web_number("\r\nDmacast-Sequence: ", 10);
	check(sequence < head && web_number("\r\nDmacast-Epoch: ", 16) == epoch,
	      "begins with %" PRIu64 ", not with %" PRIu64, sequence, head);
	web_close(fd, true);
	check(streamworld_run_until(!stream->clients), "it is still there");

	/* The next block is the first one of the next run. */
	check(streamworld_run_until(stream->state != STREAM_RUNNING), "it runs");
	head = window_head(stream->window);
	epoch = frame_epoch(window_block_at(stream->window, head - 1)->header);
	snprintf(target, sizeof(target), "/?start=%08" PRIx32 ":%" PRIu64, epoch, head - 1);
	fd = web_ask(target, SIZE_MAX);
	check(streamworld_run_until(web_has_head(fd)) && web_is("200"), "%s", web.text);
	check(web_number("\r\nDmacast-Sequence: ", 10) == head, "another block than %" PRIu64,
	      head);
	check(web_number("\r\nDmacast-Epoch: ", 16) != epoch, "the epoch goes on");
	check(streamworld_run_until(window_head(stream->window) > head), "no new run");
	check(web_number("\r\nDmacast-Epoch: ", 16) ==
		      stream_frames_epoch_of(&stream->frames, head),
	      "the head has another epoch than the first block");
	web_close(fd, true);
	check(streamworld_run_until(stream->state == STREAM_IDLE), "it does not stop");

	/* The former run is retained: behind its block follows the next one, whatever the present epoch is. */
	snprintf(target, sizeof(target), "/?start=%08" PRIx32 ":%" PRIu64, epoch, head - 1);
	fd = web_ask(target, SIZE_MAX);
	check(streamworld_run_until(web_has_head(fd)), "no answer");
	check(web_is(window_oldest(stream->window) <= head ? "200" : "410"), "%s", web.text);
	web_close(fd, true);
	check(streamworld_run_until(!stream->clients), "it is still there");
	streamworld_stop();
	point("history outlives a pause, and a client resumes from one run into the next");
}

/* A block that is a run of its own. */
static void web_push_run(struct stream *stream)
{
	struct block *block = ring_take(stream->ring);

	if (!check(block, "no free block"))
		return;
	stream_frames_begin_epoch(&stream->frames);
	block->length = RUN_BYTES;
	memset(block->data, 'x', RUN_BYTES);
	block->captured_ns = clock_monotonic_ns();
	stream_frames_write(&stream->frames, block, window_head(stream->window),
			    window_bytes(stream->window));
	window_push(stream->window, block);
}

/* Return the number of blocks received. Before each one there must be the metadata of its run. */
static unsigned int web_count_runs(void)
{
	const char *next = strstr(web.text, "\r\n\r\n") + 4;
	struct frame frame, former = { 0 };
	unsigned int blocks = 0, header;

	for (; next + FRAME_HEADER_BYTES <= web.text + web.length; next += header + frame.length) {
		if (frame_parse((const unsigned char *)next, &frame, &header) != FRAME_IS_VALID ||
		    next + header + frame.length > web.text + web.length)
			break;
		if (!(frame.flags & FRAME_METADATA)) {
			blocks++;
			check(former.flags & FRAME_METADATA && former.epoch == frame.epoch,
			      "block %" PRIu64 ": no metadata", frame.sequence);
		}
		former = frame;
	}
	return blocks;
}

static void test_many_runs(void)
{
	struct stream_settings settings;
	struct stream *stream;
	int fd;

	web_settings(&settings);
	settings_set(&settings, "pattern", "20M/s");
	settings_set(&settings, "block-size", "4K");
	settings_set(&settings, "retain", "1M");
	settings_set(&settings, "hold", "2");
	streamworld_start(&settings, 1);
	settings_end(&settings);
	stream = web_stream();
	for (int i = 0; i < RUNS; i++)
		web_push_run(stream);
	fd = web_ask("/?start=oldest&format=framed", SIZE_MAX);
	check(streamworld_run_until(web_has_head(fd) && web_count_runs() == RUNS), "%zu bytes",
	      web.length);
	web_close(fd, true);
	check(streamworld_run_until(!stream->clients), "it is still there");
	streamworld_stop();
	point("a framed client gets the metadata of each run, also of epochs that are forgotten");
}

/* ---- changes under way ---- */

static void test_reload_during_a_request(void)
{
	struct stream_settings settings;
	struct stream *stream = web_start(NULL, NULL);
	int early = web_ask("/?start=oldest", strlen("GET /?start")), late;

	check(streamworld_run_until(stream->clients == 1), "not accepted");
	settings_begin(&settings, "a", world.endpoint, "4M");
	settings_set(&settings, "pattern", "20M/s");
	settings_set(&settings, "retain", "256K");
	settings_set(&settings, "start", "oldest");
	settings_set(&settings, "format", "framed");
	check(streamworld_reload(&settings, 1, 0), "not reloaded");
	settings_end(&settings);
	check(web_stream() == stream, "another stream");
	late = streamworld_connect();
	check(streamworld_run_until(stream->clients == 2), "not accepted");
	check(send(early, "=oldest HTTP/1.1\r\nHost: a\r\n\r\n", 30, MSG_NOSIGNAL) == 30, "send");
	check(streamworld_run_until(web_has_head(early)) && web_is("200"), "%s", web.text);
	memset(&web, 0, sizeof(web));
	check(streamworld_run_until((web_has_head(late), web.length >= 64)) &&
		      !memcmp(web.text, "DMCF", 4),
	      "%.8s", web.text);
	web_close(early, true);
	web_close(late, true);
	check(streamworld_run_until(!stream->clients), "they are still there");
	streamworld_stop();
	point("a request continues when a reload changes format, start and retain");

	stream = web_start(NULL, NULL);
	early = web_ask("/", 9);
	check(streamworld_run_until(stream->clients == 1), "not accepted");
	check(streamworld_reload(NULL, 0, 60000000), "not reloaded");
	check(streamworld_run_until(web_ends(early)), "the connection stays");
	close(early);
	check(streamworld_run_until(!web_stream()), "the stream stays");
	streamworld_stop();
	point("and ends at once when the stream is removed");
}

/* ---- without a device ---- */

static void test_without_a_ring(void)
{
	struct stream_settings settings;
	struct stream *stream;
	int feed, fd;

	web_settings(&settings);
	settings_set(&settings, "device", FAKE_PATH);
	settings_set(&settings, "on-end", "wait");
	settings_set(&settings, "retain", "1M");
	fake.open_error = ENOENT;
	streamworld_start(&settings, 1);
	settings_end(&settings);
	stream = web_stream();
	check(stream->state == STREAM_WAITING && !stream->ring, "state %u", stream->state);
	feed = web_ask("/?start=oldest&format=framed", SIZE_MAX);
	check(streamworld_run_until(web_has_head(feed)) && web_is("200"), "%s", web.text);
	check(web_number("\r\nDmacast-Sequence: ", 10) == 0, "another block");
	fd = web_ask("/?start=-1M", SIZE_MAX);
	check(streamworld_run_until(web_has_head(fd)) && web_is("200"), "%s", web.text);
	web_close(fd, true);
	fd = web_ask("/?start=00000001:0", SIZE_MAX);
	check(streamworld_run_until(web_has_head(fd)) && web_is("409"), "%s", web.text);
	close(fd);
	check(streamworld_run_until(stream->clients == 1), "%u clients",
	      (unsigned int)stream->clients);
	fake.open_error = 0;
	check(streamworld_run_until(stream->state == STREAM_RUNNING) && stream->ring, "state %u",
	      stream->state);
	for (int i = 0; i < 3; i++)
		fake_fill(WORLD_BLOCK_BYTES, 0, 0);
	check(streamworld_run_until(window_head(stream->window) == 3), "%u blocks",
	      (unsigned int)window_head(stream->window));
	fd = web_ask("/", 7);
	check(streamworld_run_until(stream->clients == 2), "not accepted");
	fake_unplug();
	check(streamworld_run_until(web_ends(fd)), "the request outlives the device");
	close(fd);
	check(web_stream() != stream && web_stream()->state == STREAM_WAITING, "no successor");
	fd = web_ask("/?start=oldest", SIZE_MAX);
	check(streamworld_run_until(web_has_head(fd)) && web_is("200"), "%s", web.text);
	check(web_number("\r\nDmacast-Sequence: ", 10) == 0, "another block");
	web_close(fd, true);
	web_close(feed, true);
	check(streamworld_run_until(!web_stream()->clients), "they are still there");
	streamworld_stop();
	point("a stream without its device answers, and has no history");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	world.base = event_base_new();
	test_what_starts_the_source();
	test_ways_to_leave();
	test_resume_after_a_pause();
	test_many_runs();
	test_reload_during_a_request();
	test_without_a_ring();
	event_base_free(world.base);
	return tap_end();
}
