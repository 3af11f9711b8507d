// SPDX-License-Identifier: BSD-2-Clause
/*
 * A request of the control socket, behind a byte that says who asks and what the daemon is doing. Every answer is JSON on one line, and nothing changes for those who may not change it.
 */
#include "control/request.h"

#include "config/option_table.h"
#include "control/control.h"
#include "fuzz.h"
#include "ring/ring_memory.h"
#include "stream/streams.h"

#include <event2/event.h>
#include <jansson.h>

#define RELOAD_NUMBER 7U
/* Longest time that a request may give clients, in microseconds. */
#define MAX_DRAIN_US 3600000000U

static struct {
	bool draining;
	unsigned int changes;
} fuzzed_daemon;

static bool fuzzed_is_draining(void *argument)
{
	(void)argument;
	return fuzzed_daemon.draining;
}

static uint64_t fuzzed_drain_timeout(void *argument)
{
	(void)argument;
	return MAX_DRAIN_US;
}

static void fuzzed_drain(void *argument, uint64_t drain_us)
{
	(void)argument;
	check(drain_us <= MAX_DRAIN_US, "%llu us", (unsigned long long)drain_us);
	fuzzed_daemon.changes++;
}

static uint64_t fuzzed_reload(void *argument)
{
	(void)argument;
	check(!fuzzed_daemon.draining, "a reload while draining");
	fuzzed_daemon.changes++;
	return RELOAD_NUMBER;
}

static void fuzzed_all_ended(void *argument)
{
	(void)argument;
}

static const struct streams_callbacks fuzzed_streams = { .all_ended = fuzzed_all_ended };

static struct event_base *base;

/* Each input begins with one stream, which has no source yet and no clients. */
static struct streams *begin_streams(void)
{
	static char name[] = "main", input[] = "exec:cat";
	static struct stream_settings settings;
	struct streams *streams;
	struct stream *stream;

	if (!base)
		option_set_defaults(OPTION_STREAM, &settings);
	if (!base)
		base = event_base_new();
	settings.name = name;
	settings.input.first = input;
	streams = streams_create(base, &fuzzed_streams, NULL);
	stream = streams_prepare(streams, &settings,
				 ring_memory_create(name, 4096, 2, HUGE_PAGES_NEVER), NULL);
	if (check(stream, "no stream"))
		streams_begin(streams, stream);
	return streams;
}

static void check_answer(const char *text, const struct request_peer *peer)
{
	json_t *answer = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const json_t *result = json_object_get(answer, "ok");
	const char *error = json_string_value(json_object_get(answer, "error"));

	check(json_is_boolean(result), "%s", text);
	check(text && !strchr(text, '\n'), "more than one line: %s", text);
	if (json_is_false(result))
		check(error && *error && json_object_size(answer) == 2, "%s", text);
	check(peer->may_change || !fuzzed_daemon.changes, "changed: %s", text);
	check(json_is_true(result) || !fuzzed_daemon.changes, "refused and changed: %s", text);
	json_decref(answer);
}

/* Refuse while draining. */
static bool fuzzed_hand_over(void *argument, char wrong[CONTROL_WRONG_TEXT])
{
	(void)argument;
	fuzzed_daemon.changes += !fuzzed_daemon.draining;
	if (fuzzed_daemon.draining)
		snprintf(wrong, CONTROL_WRONG_TEXT, "draining");
	return !fuzzed_daemon.draining;
}

static bool fuzzed_upgrade(void *argument, const char *path, char wrong[CONTROL_WRONG_TEXT])
{
	check(!path || strlen(path) < CONTROL_WRONG_TEXT * 4, "%s", path);
	return fuzzed_hand_over(argument, wrong);
}

static void make_request(uint8_t form, const char *line, size_t length)
{
	const struct request_peer peer = { .may_change = form & 1 };
	const struct control_callbacks callbacks = {
		.streams = begin_streams(),
		.is_draining = fuzzed_is_draining,
		.drain_timeout = fuzzed_drain_timeout,
		.drain = fuzzed_drain,
		.reload = form & 4 ? NULL : fuzzed_reload,
		.hand_over = fuzzed_hand_over,
		.upgrade = fuzzed_upgrade,
	};
	struct request_effect effect;
	char *text;

	log_set_level(LOG_LEVEL_ERROR);
	fuzzed_daemon.draining = form & 2;
	fuzzed_daemon.changes = 0;
	text = request_answer(&callbacks, &peer, line, length, &effect);
	check(!effect.stream || effect.subscribes, "a stream without events");
	free(effect.stream);
	if (effect.reload) {
		check(!text && effect.reload == RELOAD_NUMBER && fuzzed_daemon.changes == 1,
		      "an answer before the reload is done");
		text = request_reload_answer(form & 8, line);
		if (!(form & 8))
			fuzzed_daemon.changes = 0; /* it failed */
	}
	if (effect.hands_over) {
		check(!text && fuzzed_daemon.changes == 1, "an answer before the handover failed");
		text = request_refusal("it failed");
		fuzzed_daemon.changes = 0;
	}
	check_answer(text, &peer);
	check(peer.may_change || log_get_level() == LOG_LEVEL_ERROR, "the log level changed");
	free(text);
	/* A stream that was stopped ends in the event loop. */
	event_base_loop(base, EVLOOP_NONBLOCK);
	check(streams_close(callbacks.streams), "the stream runs");
}

void fuzz_one(struct fuzz_input *input)
{
	uint8_t form = fuzz_byte(input);
	size_t length = input->left;
	char *line = fuzz_text(input, false);

	make_request(form, line, length);
	free(line);
}
