// SPDX-License-Identifier: BSD-2-Clause
/* Requests of the control socket: permissions, the answers to a reload, faulty lines, and no memory. */
#include "control/request.h"

#include "control/control.h"
#include "dice.h"
#include "lib/log.h"
#include "ring/ring_memory.h"
#include "stream/streams.h"
#include "tap.h"

#include <bsd/string.h>
#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_DRAIN_US 5000000U
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct {
	bool draining;
	unsigned int drains, reloads, handovers;
	const char *handover_refusal; /* NULL: none */
	char program[64];	      /* of the last upgrade; "": the default */
	uint64_t drain_us;	      /* of the last drain */
	bool reload_works;
	const char *reload_text;
} fake_daemon;

static bool fake_is_draining(void *argument)
{
	(void)argument;
	return fake_daemon.draining;
}

static uint64_t fake_drain_timeout(void *argument)
{
	(void)argument;
	return FAKE_DRAIN_US;
}

static void fake_drain(void *argument, uint64_t drain_us)
{
	(void)argument;
	fake_daemon.drains++;
	fake_daemon.drain_us = drain_us;
	fake_daemon.draining = true;
}

#define RELOAD_NUMBER 7U

static uint64_t fake_reload(void *argument)
{
	(void)argument;
	fake_daemon.reloads++;
	return RELOAD_NUMBER;
}

static bool fake_hand_over(void *argument, char wrong[CONTROL_WRONG_TEXT])
{
	(void)argument;
	fake_daemon.handovers++;
	if (fake_daemon.handover_refusal)
		strlcpy(wrong, fake_daemon.handover_refusal, CONTROL_WRONG_TEXT);
	return !fake_daemon.handover_refusal;
}

static bool fake_upgrade(void *argument, const char *path, char wrong[CONTROL_WRONG_TEXT])
{
	strlcpy(fake_daemon.program, path ? path : "", sizeof(fake_daemon.program));
	return fake_hand_over(argument, wrong);
}

static void fake_all_ended(void *argument)
{
	(void)argument;
}

static const struct streams_callbacks streams_callbacks = { .all_ended = fake_all_ended };

static struct control_callbacks callbacks = { .is_draining = fake_is_draining,
					      .drain_timeout = fake_drain_timeout,
					      .drain = fake_drain,
					      .reload = fake_reload,
					      .hand_over = fake_hand_over,
					      .upgrade = fake_upgrade };
static const struct request_peer the_operator = { .uid = 0, .pid = 1, .may_change = true };
static const struct request_peer guest = { .uid = 1000, .pid = 2, .may_change = false };

/* Effect of the last request of ask_bytes(). */
static struct request_effect subscribed_to;

/* Return: the answer, a new reference, checked to be an object with "ok" on one line. */
static json_t *ask_bytes(const struct request_peer *peer, const char *line, size_t length)
{
	struct request_effect effect;
	char *text = request_answer(&callbacks, peer, line, length, &effect);
	json_t *answer;

	free(subscribed_to.stream);
	subscribed_to = effect;
	if (effect.reload) {
		check(!text && effect.reload == RELOAD_NUMBER,
		      "an answer before the reload is done");
		text = request_reload_answer(fake_daemon.reload_works, fake_daemon.reload_text);
	}
	if (effect.hands_over) {
		check(!text, "an answer before the handover failed");
		text = request_refusal("the handover failed");
	}
	answer = text ? json_loads(text, 0, NULL) : NULL;

	if (check(json_is_boolean(json_object_get(answer, "ok")), "%.*s: %s", (int)length, line,
		  text ? text : "no answer"))
		check(!strchr(text, '\n'), "%.*s: more than one line", (int)length, line);
	free(text);
	return answer;
}

static json_t *ask_line(const struct request_peer *peer, const char *line)
{
	return ask_bytes(peer, line, strlen(line));
}

static void expect_done(const struct request_peer *peer, const char *line)
{
	json_t *answer = ask_line(peer, line);

	check(json_is_true(json_object_get(answer, "ok")), "%s: refused: %s", line,
	      json_string_value(json_object_get(answer, "error")));
	json_decref(answer);
}

static void expect_refused(const struct request_peer *peer, const char *line, const char *why)
{
	json_t *answer = ask_line(peer, line);
	const char *error = json_string_value(json_object_get(answer, "error"));

	check(json_is_false(json_object_get(answer, "ok")), "%s: done", line);
	check(error && strstr(error, why), "%s: \"%s\", expected \"%s\"", line, error, why);
	json_decref(answer);
}

static void test_permissions(void)
{
	static const char *const looking[] = {
		"{\"command\":\"status\"}",  "{\"command\":\"streams\"}",
		"{\"command\":\"clients\"}", "{\"command\":\"log-level\"}",
		"{\"command\":\"events\"}",
	};
	static const char *const changing[] = {
		"{\"command\":\"log-level\",\"level\":\"debug\"}",
		"{\"command\":\"kick\",\"all\":true}",
		"{\"command\":\"reload\"}",
		"{\"command\":\"drain\"}",
	};

	fake_daemon.reload_works = true;
	fake_daemon.reload_text = "";
	for (size_t i = 0; i < LENGTH(looking); i++) {
		expect_done(&guest, looking[i]);
		expect_done(&the_operator, looking[i]);
	}
	point("every user may use the commands that change nothing");
	for (size_t i = 0; i < LENGTH(changing); i++)
		expect_refused(&guest, changing[i], "not allowed");
	check(!fake_daemon.drains && !fake_daemon.reloads && !fake_daemon.handovers,
	      "something was done");
	check(log_get_level() == LOG_LEVEL_ERROR, "the log level is %d", (int)log_get_level());
	point("a guest may not change anything");
	for (size_t i = 0; i < LENGTH(changing); i++)
		expect_done(&the_operator, changing[i]);
	check(fake_daemon.drains == 1 && fake_daemon.reloads == 1, "%u drains, %u reloads",
	      fake_daemon.drains, fake_daemon.reloads);
	check(log_get_level() == LOG_LEVEL_DEBUG, "the log level is %d", (int)log_get_level());
	expect_refused(&the_operator, "{\"command\":\"drain\"}", "draining");
	expect_refused(&the_operator, "{\"command\":\"reload\"}", "draining");
	check(fake_daemon.drains == 1 && fake_daemon.reloads == 1, "done again");
	point("the operator may, but not drain or reload while draining");
	fake_daemon.draining = false;
	log_set_level(LOG_LEVEL_ERROR);
}

static void test_drain_times(void)
{
	static const char *const wrong[] = { "-1", "3600.1", "1e999", "\"1s\"", "true", "null" };
	char line[128];

	fake_daemon.drains = 0;
	for (size_t i = 0; i < LENGTH(wrong); i++) {
		snprintf(line, sizeof(line), "{\"command\":\"drain\",\"timeout_seconds\":%s}",
			 wrong[i]);
		expect_refused(&the_operator, line, i == 2 ? "not JSON" : "from 0 to 3600");
	}
	expect_refused(&the_operator,
		       "{\"command\":\"drain\",\"stream\":\"a\",\"timeout_seconds\":-1}",
		       "from 0 to 3600");
	expect_refused(&the_operator,
		       "{\"command\":\"drain\",\"stream\":\"a\",\"timeout_seconds\":1}",
		       "a: no such stream");
	check(!fake_daemon.drains, "drained");
	point("a time to drain that is out of range is refused");

	expect_done(&the_operator, "{\"command\":\"drain\"}");
	check(fake_daemon.drain_us == FAKE_DRAIN_US, "%" PRIu64 " us", fake_daemon.drain_us);
	expect_done(&the_operator, "{\"command\":\"drain\",\"timeout_seconds\":0.25}");
	check(fake_daemon.drain_us == 250000, "%" PRIu64 " us", fake_daemon.drain_us);
	expect_done(&the_operator, "{\"command\":\"drain\",\"timeout_seconds\":3600}");
	check(fake_daemon.drain_us == 3600000000U, "%" PRIu64 " us", fake_daemon.drain_us);
	expect_refused(&the_operator, "{\"command\":\"drain\"}", "draining");
	check(fake_daemon.drains == 3, "%u drains", fake_daemon.drains);
	point("the time to drain is that of the request, which may replace it, or the configured "
	      "one");
	fake_daemon.draining = false;
}

static void test_handovers(void)
{
	expect_refused(&guest, "{\"command\":\"handover\"}", "not allowed");
	expect_refused(&guest, "{\"command\":\"upgrade\"}", "not allowed");
	check(!fake_daemon.handovers, "something was done");
	expect_refused(&the_operator, "{\"command\":\"handover\"}", "the handover failed");
	check(fake_daemon.handovers == 1, "%u handovers", fake_daemon.handovers);
	expect_refused(&the_operator, "{\"command\":\"upgrade\",\"path\":\"/a\"}",
		       "the handover failed");
	check(!strcmp(fake_daemon.program, "/a"), "%s", fake_daemon.program);
	expect_refused(&the_operator, "{\"command\":\"upgrade\"}", "the handover failed");
	check(!*fake_daemon.program && fake_daemon.handovers == 3, "%s", fake_daemon.program);
	point("a handover has an answer only when it has failed");
	fake_daemon.handover_refusal = "not now";
	expect_refused(&the_operator, "{\"command\":\"handover\"}", "not now");
	expect_refused(&the_operator, "{\"command\":\"upgrade\"}", "not now");
	expect_refused(&the_operator, "{\"command\":\"upgrade\",\"path\":7}", "");
	expect_refused(&the_operator, "{\"command\":\"handover\",\"path\":\"/a\"}", "");
	point("a handover that is refused says why");
}

static void test_reload_answers(void)
{
	char long_text[4096];
	json_t *answer;

	fake_daemon.reload_works = true;
	fake_daemon.reload_text = "a: one\nb: two";
	answer = ask_line(&the_operator, "{\"command\":\"reload\"}");
	check(!strcmp(json_string_value(json_object_get(answer, "warnings")), "a: one\nb: two"),
	      "other warnings");
	json_decref(answer);
	fake_daemon.reload_text = "";
	answer = ask_line(&the_operator, "{\"command\":\"reload\"}");
	check(json_object_size(answer) == 1, "more than \"ok\"");
	json_decref(answer);
	point("a reload, with warnings and without");

	fake_daemon.reload_works = false;
	fake_daemon.reload_text = "FILE:7: wrong\nFILE:8: wrong, too";
	expect_refused(&the_operator, "{\"command\":\"reload\"}",
		       "FILE:7: wrong\nFILE:8: wrong, too");
	fake_daemon.reload_text = "caf\xe9";
	expect_refused(&the_operator, "{\"command\":\"reload\"}", "caf?");
	/* One of these two is cut within a character, whatever the size of the buffer. */
	for (size_t shift = 0; shift < 2; shift++) {
		memset(long_text, 'x', shift);
		for (size_t i = shift; i + 2 < sizeof(long_text); i += 2)
			memcpy(long_text + i, "\xc3\xa4", 3);
		fake_daemon.reload_text = long_text;
		expect_refused(&the_operator, "{\"command\":\"reload\"}", "");
	}
	callbacks.reload = NULL;
	expect_refused(&the_operator, "{\"command\":\"reload\"}", "without a configuration file");
	callbacks.reload = fake_reload;
	point("a reload that is refused says why");
	fake_daemon.reload_works = true;
	fake_daemon.reload_text = "";
}

/* Change a few bytes of valid lines. */
static void test_faulty_lines(uint32_t steps)
{
	static const char *const lines[] = {
		"{\"command\":\"status\"}",
		"{\"command\":\"clients\",\"stream\":\"a\",\"first\":0,\"most\":10}",
		"{\"command\":\"kick\",\"client\":\"127.0.0.1:5000\",\"stream\":\"a\"}",
		"{\"command\":\"kick\",\"all\":true}",
		"{\"command\":\"log-level\",\"level\":\"error\"}",
		"{\"command\":\"drain\",\"stream\":\"a\",\"timeout_seconds\":1.5}",
		"{\"command\":\"events\",\"stream\":\"a\"}",
	};
	static const char piece[][8] = { "\"",	 "{",	    "}",    "[",    "]",      ":",
					 ",",	 "\\u0000", "\xff", "\xc3", "1e999",  "-1",
					 "null", "true",    "\\",   "\n",   "\\ud800" };
	struct dice dice = { .state = 4 };

	for (uint32_t i = 0; i < steps; i++) {
		char line[256];
		size_t length =
			strlcpy(line, lines[dice_roll(&dice, 0, LENGTH(lines) - 1)], sizeof(line));

		for (uint32_t n = dice_roll(&dice, 1, 3); n; n--) {
			const char *put = piece[dice_roll(&dice, 0, LENGTH(piece) - 1)];
			size_t at = dice_roll(&dice, 0, (uint32_t)length - 1);
			size_t size = strlen(put);

			if (size > length - at)
				size = length - at;
			if (dice_one_in(&dice, 4))
				line[at] = (char)dice_bits(&dice);
			else
				memcpy(line + at, put, size);
		}
		json_decref(ask_bytes(&the_operator, line, length));
	}
	point("every faulty line has an answer");
}

/* ---- no memory ---- */

static unsigned int allocations; /* until one fails; 0: none fails */

static void *failing_malloc(size_t size)
{
	return allocations && !--allocations ? NULL : malloc(size);
}

/* Return: the number of values in @json. */
static size_t count_values(const json_t *json)
{
	size_t count = 1, i;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)json, name, value) count += count_values(value);
	json_array_foreach(json, i, value) count += count_values(value);
	return count;
}

/*
 * Answer @line once for each allocation of jansson, which fails. An answer is refused or complete, or
 * no JSON: jansson ignores that it could not write a name.
 *
 * Return: the number of allocations.
 */
static unsigned int fail_each_allocation(const char *line)
{
	json_t *complete = ask_line(&guest, line), *answer;
	unsigned int number = 0;
	struct request_effect effect;
	bool failed;
	char *text;

	do {
		allocations = ++number;
		text = request_answer(&callbacks, &guest, line, strlen(line), &effect);
		free(effect.stream);
		failed = !allocations;
		allocations = 0;
		answer = text ? json_loads(text, 0, NULL) : NULL;
		if (json_is_true(json_object_get(answer, "ok")))
			check(count_values(answer) == count_values(complete),
			      "%s, allocation %u: a part of the answer: %s", line, number, text);
		json_decref(answer);
		free(text);
	} while (failed);
	json_decref(complete);
	return number - 1;
}

/* A stream without a client, and with a name of its source that is no UTF-8. */
static struct streams *open_one_stream(struct event_base *base)
{
	char listen[] = "127.0.0.1:0", *endpoint = listen, name[] = "a", input[] = "exec:caf\xe9";
	const struct stream_settings settings = {
		.name = name,
		.input.first = input,
		.listen = { .item = &endpoint, .count = 1 },
		.block_size = 4096,
		.ring_size = 65536,
		.low_water = SETTING_AUTO,
		.client.max_clients = 1,
		.client.send_buffer = SETTING_AUTO,
		.client.notsent_lowat = SETTING_AUTO,
		.client.socket_memory = SETTING_AUTO,
	};

	struct streams *streams = streams_create(base, &streams_callbacks, NULL);
	struct ring *ring = ring_memory_create("test", 4096, 16, HUGE_PAGES_NEVER);
	struct stream *stream = streams ? streams_prepare(streams, &settings, ring, NULL) : NULL;

	if (stream)
		streams_begin(streams, stream);
	return stream ? streams : NULL;
}

static void test_failed_allocations(struct event_base *base)
{
	static const char *const lines[] = {
		"{\"command\":\"status\"}",
		"{\"command\":\"streams\"}",
		"{\"command\":\"clients\"}",
		"{\"command\":\"events\",\"stream\":\"a\"}",
	};
	struct streams *none = callbacks.streams;
	json_t *answer, *stream;

	callbacks.streams = open_one_stream(base);
	if (!check(callbacks.streams, "no stream")) {
		callbacks.streams = none;
		return point("an answer with one stream");
	}
	answer = ask_line(&guest, "{\"command\":\"streams\"}");
	stream = json_array_get(json_object_get(answer, "streams"), 0);
	check(!strcmp(json_string_value(json_object_get(stream, "source")), "exec:caf?"),
	      "another source");
	json_decref(answer);
	point("a text that is not valid UTF-8 is shown as well as possible");

	expect_refused(&guest, "{\"command\":\"events\",\"stream\":\"b\"}", "b: no such stream");
	check(!subscribed_to.subscribes, "events follow an error");
	expect_done(&guest, "{\"command\":\"events\",\"stream\":\"a\"}");
	check(subscribed_to.subscribes && subscribed_to.stream &&
		      !strcmp(subscribed_to.stream, "a"),
	      "no events, or not of the stream");
	expect_done(&guest, "{\"command\":\"events\"}");
	check(subscribed_to.subscribes && !subscribed_to.stream, "no events, or not all");
	point("events follow the answer, of one stream or of all");

	json_set_alloc_funcs(failing_malloc, free);
	for (size_t i = 0; i < LENGTH(lines); i++)
		check(fail_each_allocation(lines[i]) >= 10, "%s: few allocations", lines[i]);
	json_set_alloc_funcs(malloc, free);
	point("a failed allocation is an error, never a part of an answer");
	streams_close(callbacks.streams);
	callbacks.streams = none;
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();

	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	callbacks.streams = streams_create(base, &streams_callbacks, NULL);
	test_permissions();
	test_drain_times();
	test_reload_answers();
	test_handovers();
	test_failed_allocations(base);
	test_faulty_lines(argc > 1 ? (uint32_t)atoi(argv[1]) : 1000000);
	free(subscribed_to.stream);
	streams_close(callbacks.streams);
	event_base_free(base);
	return tap_end();
}
