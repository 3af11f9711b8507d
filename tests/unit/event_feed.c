// SPDX-License-Identifier: BSD-2-Clause
/*
 * Events from a watch to the outputs of subscriptions: order, sums, filters, what a subscription that does not read
 * costs and is told, and how each event is written.
 */
#include "control/event_feed.h"
#include "lib/clock.h"
#include "observe/event_report.h"
#include "stream/stream_watch.h"

#include "dice.h"
#include "tap.h"

#include <err.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SUBSCRIPTIONS 4U

static struct {
	struct event_base *base;
	struct stream_watch watch;
	struct event_feed feed;
	struct event_subscription subscription[SUBSCRIPTIONS];
	struct evbuffer *output[SUBSCRIPTIONS];
	unsigned int wakes;
	struct event_sum sums[3];
} world;

static void world_wake(void *argument)
{
	(void)argument;
	world.wakes++;
}

static void world_setup(void)
{
	memset(&world, 0, sizeof(world));
	world.base = event_base_new();
	if (!world.base)
		errx(1, "no event base");
	stream_watch_init(&world.watch, world.base);
	event_feed_init(&world.feed, &world.watch, world_wake, NULL);
	for (size_t i = 0; i < SUBSCRIPTIONS; i++)
		world.output[i] = evbuffer_new();
}

static void world_subscribe(unsigned int index, const char *stream)
{
	event_feed_add(&world.feed, &world.subscription[index], world.output[index],
		       stream ? strdup(stream) : NULL);
}

static void world_unsubscribe(unsigned int index)
{
	event_feed_remove(&world.feed, &world.subscription[index]);
}

static void world_free(void)
{
	for (size_t i = 0; i < SUBSCRIPTIONS; i++)
		evbuffer_free(world.output[i]);
	event_base_free(world.base);
}

static void report_text_event(const char *stream, const char *text)
{
	stream_watch_report(
		&world.watch,
		(struct stream_event){ .type = EVENT_SOURCE_DOWN, .stream = stream, .text = text });
}

static void run_all(void)
{
	event_feed_run(&world.feed, UINT64_MAX);
}

/* Return: the next line of an output as an object, a new reference; NULL if there is none. */
static json_t *next_line(unsigned int index)
{
	char *line = evbuffer_readln(world.output[index], NULL, EVBUFFER_EOL_LF);
	json_t *object = line ? json_loads(line, 0, NULL) : NULL;

	check(!line || object, "not JSON: %s", line);
	free(line);
	return object;
}

static const char *member_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "none";
}

static uint64_t member_number(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

/* The next line of an output has this text. */
static void expect_text(unsigned int index, const char *text)
{
	json_t *object = next_line(index);

	check(!strcmp(member_text(object, "text"), text), "subscription %u: %s, expected %s", index,
	      member_text(object, "text"), text);
	json_decref(object);
}

static void expect_nothing(unsigned int index)
{
	check(!evbuffer_get_length(world.output[index]), "subscription %u: more", index);
}

/* ---- who gets what ---- */

static void test_filters(void)
{
	world_setup();
	report_text_event("a", "early");
	check(!event_feed_is_pending(&world.feed) && !world.wakes, "queued for nobody");
	point("without a subscription nothing is queued");

	world_subscribe(0, NULL);
	report_text_event("a", "one");
	world_subscribe(1, "a");
	world_subscribe(2, "b");
	report_text_event("a", "two");
	report_text_event("b", "three");
	stream_watch_report(&world.watch,
			    (struct stream_event){ .type = EVENT_DRAINING, .text = "four" });
	check(world.wakes == 4, "woken %u times", world.wakes);
	run_all();
	expect_text(0, "one");
	expect_text(0, "two");
	expect_text(0, "three");
	expect_text(0, "four");
	expect_nothing(0);
	expect_text(1, "two");
	expect_nothing(1);
	expect_text(2, "three");
	expect_nothing(2);
	point("each gets, in order, what happened after it began, of its stream or all");

	world_unsubscribe(0);
	world_unsubscribe(1);
	report_text_event("a", "for nobody");
	check(!event_feed_is_pending(&world.feed), "queued");
	world_unsubscribe(2);
	check(!stream_watch_is_on(&world.watch), "still watching");
	point("what nobody wants is not queued, and the last one ends the watch");
	world_free();
}

/* ---- one that does not read ---- */

static void test_slow_reader(void)
{
	char text[200], number[32];
	uint64_t got = 0, lost = 0;
	json_t *object;

	world_setup();
	world_subscribe(0, NULL);
	world_subscribe(1, NULL);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned int i = 0; i < 5000; i++) {
		snprintf(number, sizeof(number), "%06u", i);
		memcpy(text, number, 6);
		report_text_event("a", text);
		run_all();
		expect_text(1, text);
	}
	expect_nothing(1);
	check(evbuffer_get_length(world.output[0]) <= EVENT_FEED_BYTES, "%zu bytes are kept",
	      evbuffer_get_length(world.output[0]));
	check(evbuffer_get_length(world.output[0]) > EVENT_FEED_BYTES - 512, "%zu bytes only",
	      evbuffer_get_length(world.output[0]));
	point("one that does not read has a bound, and the other gets everything");

	while (evbuffer_get_length(world.output[0]) > EVENT_FEED_BYTES / 2 + 512) {
		json_decref(next_line(0));
		got++;
	}
	report_text_event("a", "still lost");
	run_all();
	while (evbuffer_get_length(world.output[0]) > EVENT_FEED_BYTES / 2 - 512) {
		json_decref(next_line(0));
		got++;
	}
	report_text_event("a", "there again");
	run_all();
	while ((object = next_line(0)) && strcmp(member_text(object, "event"), "lost") != 0) {
		json_decref(object);
		got++;
	}
	lost = member_number(object, "count");
	json_decref(object);
	check(got + lost == 5001, "%" PRIu64 " came, %" PRIu64 " are said to be lost", got, lost);
	expect_text(0, "there again");
	expect_nothing(0);
	point("once half is read, a line tells how many were lost, before the next one");

	world.subscription[0].lost = 7;
	event_feed_drained(&world.subscription[0]);
	object = next_line(0);
	check(member_number(object, "count") == 7, "%" PRIu64, member_number(object, "count"));
	json_decref(object);
	event_feed_drained(&world.subscription[0]);
	expect_nothing(0);
	point("without a next one it comes when everything is read, once");
	world_unsubscribe(0);
	world_unsubscribe(1);
	world_free();
}

/* ---- too many at once ---- */

static void test_full_event_queue(void)
{
	uint64_t lines = 0, lost = 0;
	json_t *object;

	world_setup();
	world_subscribe(0, "a");
	world_subscribe(1, "b");
	for (unsigned int i = 0; i < EVENT_QUEUE_MAX + 100; i++)
		report_text_event("a", "x");
	check(world.feed.queue.count == EVENT_QUEUE_MAX, "%u queued", world.feed.queue.count);
	while (event_feed_is_pending(&world.feed)) {
		event_feed_run(&world.feed, 0);
		while ((object = next_line(0))) {
			bool is_lost = !strcmp(member_text(object, "event"), "lost");

			lost += is_lost ? member_number(object, "count") : 0;
			lines += !is_lost;
			json_decref(object);
		}
	}
	check(lines == EVENT_QUEUE_MAX && lost == 100, "%" PRIu64 " lines, %" PRIu64 " lost", lines,
	      lost);
	expect_nothing(1);
	check(!world.subscription[1].lost, "lost for the other stream");
	point("a full queue loses events of those who want them, and says how many");
	world_unsubscribe(0);
	world_unsubscribe(1);
	check(!world.feed.queue.count, "%u are kept", world.feed.queue.count);
	world_free();
}

/* ---- sums ---- */

static void report_sum(const struct event_sum *sum)
{
	stream_watch_report(&world.watch, (struct stream_event){
						  .type = EVENT_OVERRUN,
						  .stream = sum == &world.sums[0]   ? "0"
							    : sum == &world.sums[1] ? "1"
										    : "2",
						  .blocks = sum->blocks,
						  .count = sum->count,
						  .since_ns = sum->since_ns,
					  });
}

/* Let the loop run until as many sums are reported. */
static void await_sums(unsigned int count)
{
	while (world.feed.queue.count < count)
		event_base_loop(world.base, EVLOOP_ONCE);
}

static void test_sums(uint32_t steps)
{
	uint64_t blocks[3] = { 0 }, counts[3] = { 0 }, begin, events = 0;
	uint64_t got_blocks[3] = { 0 }, got_counts[3] = { 0 };
	struct dice dice = { .state = 7 };
	json_t *object;

	world_setup();
	world_subscribe(0, NULL);
	begin = clock_monotonic_ns();
	event_sum_add(&world.sums[0], &world.watch, 0, 5, report_sum);
	event_sum_add(&world.sums[0], &world.watch, 0, 6, report_sum);
	check(!world.feed.queue.count, "reported at once");
	await_sums(1);
	check(clock_monotonic_ns() - begin >= (uint64_t)EVENT_SUM_US * 1000, "too early");
	run_all();
	object = next_line(0);
	check(member_number(object, "blocks") == 11 && member_number(object, "count") == 2,
	      "another sum");
	check(strcmp(member_text(object, "since"), member_text(object, "time")) < 0,
	      "since %s, now %s", member_text(object, "since"), member_text(object, "time"));
	json_decref(object);
	check(!world.sums[0].pending && !world.sums[0].count, "still pending");
	point("a sum is reported once, after its time");

	for (uint32_t i = 0; i < steps; i++) {
		uint32_t which = dice_roll(&dice, 0, 2), more = dice_roll(&dice, 0, 9);

		event_sum_add(&world.sums[which], &world.watch, 0, more, report_sum);
		blocks[which] += more;
		counts[which]++;
		if (dice_one_in(&dice, 100))
			event_sum_end(&world.sums[which], &world.watch);
		event_base_loop(world.base, EVLOOP_NONBLOCK);
		run_all();
		while ((object = next_line(0))) {
			which = (uint32_t)(member_text(object, "stream")[0] - '0');
			got_blocks[which] += member_number(object, "blocks");
			got_counts[which] += member_number(object, "count");
			events++;
			json_decref(object);
		}
	}
	for (uint32_t i = 0; i < 3; i++) {
		check(blocks[i] == got_blocks[i] + world.sums[i].blocks, "sum %u", i);
		check(counts[i] == got_counts[i] + world.sums[i].count, "count %u", i);
	}
	check(events && events < steps, "%" PRIu64 " events of %u parts", events, steps);
	point("sums are complete, whenever they are reported");

	event_sum_add(&world.sums[0], &world.watch, 0, 1, report_sum);
	world_unsubscribe(0);
	check(!world.sums[0].pending && TAILQ_EMPTY(&world.watch.sums), "still pending");
	point("without a watcher sums are forgotten");
	world_free();
}

static void test_sums_wait(void)
{
	json_t *object;

	world_setup();
	world_subscribe(0, NULL);
	while (event_queue_has_space(&world.feed.queue))
		report_text_event("a", "x");
	event_sum_add(&world.sums[1], &world.watch, 0, 1, report_sum);
	for (unsigned int i = 0; i < 3; i++) {
		event_base_loop(world.base, EVLOOP_ONCE);
		event_sum_add(&world.sums[1], &world.watch, 0, 1, report_sum);
	}
	check(world.sums[1].count == 4, "%" PRIu64 " parts", world.sums[1].count);
	run_all();
	evbuffer_drain(world.output[0], evbuffer_get_length(world.output[0]));
	world.subscription[0].lost = 0;
	await_sums(1);
	run_all();
	object = next_line(0);
	check(member_number(object, "count") == 4, "another sum");
	json_decref(object);
	point("while the queue is half full, sums wait and grow");
	world_unsubscribe(0);
	world_free();
}

/* ---- how they are written ---- */

static void test_event_lines(void)
{
	const struct stream_event event = {
		.type = EVENT_LEAVE,
		.time_ns = 1796034615000000789U,
		.stream = "a",
		.client = "127.0.0.1:5",
		.endpoint = "127.0.0.1:7",
		.reason = "error",
		.text = "caf\xe9",
		.duration_ns = 1500000000,
		.clients = 2,
		.stats = { .sent_bytes = UINT64_C(1) << 40, .dropped_bytes = 3, .drops = 1 },
	};
	struct stream_event *copy = stream_event_copy(&event);
	char *line = event_report(copy);

	check(!strcmp(line, "{\"time\":\"2026-11-30T10:30:15.000000789Z\",\"event\":\"leave\","
			    "\"stream\":\"a\",\"section\":null,\"client\":\"127.0.0.1:5\","
			    "\"endpoint\":\"127.0.0.1:7\",\"reason\":\"error\",\"text\":\"caf?\","
			    "\"seconds\":1.5,\"sent_bytes\":1099511627776,\"dropped_bytes\":3,"
			    "\"drops\":1,\"clients\":2}"),
	      "%s", line);
	free(line);
	free(copy);
	point("an event as a line, from a copy");

	for (unsigned int type = 0; type < STREAM_EVENT_TYPES; type++) {
		const struct stream_event empty = { .type = (enum stream_event_type)type };
		json_t *object;

		line = event_report(&empty);
		object = json_loads(line, 0, NULL);
		check(!strcmp(member_text(object, "event"),
			      stream_event_word((enum stream_event_type)type)),
		      "%u: %s", type, line);
		check(json_object_size(object) > 2, "%s: nothing else", line);
		json_decref(object);
		free(line);
	}
	point("each type has a word and members");
}

int main(int argc, char **argv)
{
	uint32_t steps = argc > 1 ? (uint32_t)atoi(argv[1]) : 100000;

	test_filters();
	test_slow_reader();
	test_full_event_queue();
	test_sums(steps);
	test_sums_wait();
	test_event_lines();
	return tap_end();
}
