// SPDX-License-Identifier: BSD-2-Clause
#include "control/request.h"

#include "config/option_table.h"
#include "control/control.h"
#include "lib/clock.h"
#include "lib/json_text.h"
#include "lib/log.h"
#include "observe/report.h"
#include "stream/stream.h"
#include "stream/streams.h"

#include <bsd/string.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Clients in one answer. */
#define MAX_CLIENTS 250
/* Longest time that "drain" may give clients, in seconds; as for the option drain-timeout. */
#define MAX_DRAIN_SECONDS 3600
/* Length of an answer in bytes. */
#define MAX_ANSWER (1UL << 20)

struct request {
	const struct control_callbacks *callbacks;
	const struct request_peer *peer;
	const char *line;
	size_t length;
	json_t *object;
	struct request_effect effect;
	char error[CONTROL_WRONG_TEXT]; /* set if there is no answer */
};

/* Set the error. Return: NULL, for the caller to return. */
static json_t *__attribute__((format(printf, 2, 3)))
request_refuse(struct request *request, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(request->error, sizeof(request->error), format, args);
	va_end(args);
	return NULL;
}

/* Unpack the members of the request; other members than those in @format are an error. */
static bool request_unpack(struct request *request, const char *format, ...)
{
	json_error_t error;
	va_list args;
	int status;

	va_start(args, format);
	status = json_vunpack_ex(request->object, &error, JSON_STRICT, format, args);
	va_end(args);
	if (status)
		request_refuse(request, "%s", error.text);
	return status == 0;
}

/* ---- looking for streams ---- */

struct stream_search {
	const char *name; /* NULL: all streams */
	void (*each)(struct stream_search *all, struct stream *stream);
	uint64_t found;
	const char *client;
	uint64_t kicked;
	struct streams *streams;
	uint64_t drain_us;
	bool replace_time;
};

static void visit_stream(void *argument, struct stream *stream)
{
	struct stream_search *all = argument;

	if (all->name && strcmp(stream_name(stream), all->name))
		return;
	all->found++;
	if (all->each)
		all->each(all, stream);
}

/* Call ->each for the streams found. Return: false, with an error, if there is no such stream. */
static bool search_streams(struct request *request, struct stream_search *all)
{
	streams_each(request->callbacks->streams, visit_stream, all);
	if (all->found || !all->name)
		return true;
	request_refuse(request, "%s: no such stream", all->name);
	return false;
}

/* ---- the commands ---- */

static const char *const *request_level_words(void)
{
	return option_find(OPTION_DAEMON, "log-level")->choices;
}

static const char *request_level_word(void)
{
	return request_level_words()[log_get_level() - LOG_LEVEL_ERROR];
}

/*
 * Add the time of a clock that never jumps: rates are the differences of two answers.
 *
 * Return: @answer; NULL without memory, and then @answer is freed.
 */
static json_t *request_add_time(json_t *answer)
{
	if (!json_object_set_new(answer, "monotonic",
				 json_real((double)clock_monotonic_ns() / 1e9)))
		return answer;
	json_decref(answer);
	return NULL;
}

static void add_name_totals(void *argument, const struct name_report *report)
{
	struct name_report *sum = argument;

	sum->generations += report->generations > 0;
	sum->clients += report->clients;
	sum->totals.stats.sent_bytes += report->totals.stats.sent_bytes;
	sum->totals.stats.dropped_bytes += report->totals.stats.dropped_bytes;
}

static json_t *answer_status(struct request *request)
{
	const struct control_callbacks *callbacks = request->callbacks;
	struct name_report sum = { 0 };
	const char *command;
	json_t *answer;

	if (!request_unpack(request, "{s:s}", "command", &command))
		return NULL;
	answer = request_add_time(report_daemon());
	streams_each_name(callbacks->streams, add_name_totals, &sum);
	if (!json_object_update_new(
		    answer,
		    json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "state",
			      callbacks->is_draining(callbacks->argument) ? "draining" : "running",
			      "log_level", request_level_word(), "streams",
			      (json_int_t)sum.generations, "clients", (json_int_t)sum.clients,
			      "sent_bytes", (json_int_t)sum.totals.stats.sent_bytes,
			      "dropped_bytes", (json_int_t)sum.totals.stats.dropped_bytes)))
		return answer;
	json_decref(answer);
	return NULL;
}

static json_t *answer_streams(struct request *request)
{
	const char *command;

	if (!request_unpack(request, "{s:s}", "command", &command))
		return NULL;
	return request_add_time(
		json_pack("{s:o}", "streams", report_streams(request->callbacks->streams)));
}

/* A page has at most MAX_CLIENTS clients: a long list would delay the streams. */
static json_t *answer_clients(struct request *request)
{
	struct stream_search all = { .each = NULL };
	struct report_page page = { .limit = MAX_CLIENTS };
	json_int_t first = 0, most = MAX_CLIENTS;
	const char *command;
	json_t *answer;

	if (!request_unpack(request, "{s:s, s?s, s?I, s?I}", "command", &command, "stream",
			    &all.name, "first", &first, "most", &most))
		return NULL;
	if (first < 0 || most < 1)
		return request_refuse(request,
				      "expected \"first\" from 0 on and \"most\" from 1 on");
	if (!search_streams(request, &all))
		return NULL;
	page.first = (uint64_t)first;
	if (most < MAX_CLIENTS)
		page.limit = (uint64_t)most;
	answer = request_add_time(json_pack(
		"{s:o}", "clients", report_clients(request->callbacks->streams, all.name, &page)));
	if (page.first >= page.total || page.total - page.first <= page.limit ||
	    !json_object_set_new(answer, "next",
				 json_integer((json_int_t)(page.first + page.limit))))
		return answer;
	json_decref(answer);
	return NULL;
}

static void kick_in_stream(struct stream_search *all, struct stream *stream)
{
	all->kicked += stream_kick(stream, all->client);
}

static json_t *answer_kick(struct request *request)
{
	struct stream_search all = { .each = kick_in_stream };
	const char *command;
	int everyone = 0;

	if (!request_unpack(request, "{s:s, s?s, s?s, s?b}", "command", &command, "client",
			    &all.client, "stream", &all.name, "all", &everyone))
		return NULL;
	if (!all.client && !all.name && !everyone)
		return request_refuse(request, "expected \"client\", \"stream\" or \"all\": true");
	if (everyone && (all.client || all.name))
		return request_refuse(request, "expected \"all\" alone");
	if (!search_streams(request, &all))
		return NULL;
	if (all.client && !all.kicked)
		return request_refuse(request, "%s: no such client", all.client);
	return json_pack("{s:I}", "kicked", (json_int_t)all.kicked);
}

static void drain_stream(struct stream_search *all, struct stream *stream)
{
	streams_drain(all->streams, stream, all->drain_us, all->replace_time);
}

/*
 * Set the time for clients to receive the rest: @seconds, NULL for that of the configuration. Return: false,
 * with an error, if it is no such time.
 */
static bool request_drain_time(struct request *request, const json_t *seconds,
			       struct stream_search *all)
{
	const struct control_callbacks *callbacks = request->callbacks;
	double value = json_number_value(seconds);

	all->replace_time = seconds != NULL;
	if (!seconds) {
		all->drain_us = callbacks->drain_timeout(callbacks->argument);
		return true;
	}
	if (!json_is_number(seconds) || !(value >= 0 && value <= MAX_DRAIN_SECONDS)) {
		request_refuse(request, "expected \"timeout_seconds\" from 0 to %d",
			       MAX_DRAIN_SECONDS);
		return false;
	}
	all->drain_us = (uint64_t)(value * 1e6);
	return true;
}

static json_t *answer_drain(struct request *request)
{
	const struct control_callbacks *callbacks = request->callbacks;
	struct stream_search all = { .each = drain_stream, .streams = callbacks->streams };
	const json_t *seconds = NULL;
	const char *command;

	if (!request_unpack(request, "{s:s, s?s, s?o}", "command", &command, "stream", &all.name,
			    "timeout_seconds", &seconds) ||
	    !request_drain_time(request, seconds, &all))
		return NULL;
	if (all.name)
		return search_streams(request, &all) ? json_object() : NULL;
	if (callbacks->is_draining(callbacks->argument) && !all.replace_time)
		return request_refuse(request, "draining already");
	callbacks->drain(callbacks->argument, all.drain_us);
	return json_object();
}

static json_t *answer_reload(struct request *request)
{
	const struct control_callbacks *callbacks = request->callbacks;
	const char *command;

	if (!request_unpack(request, "{s:s}", "command", &command))
		return NULL;
	if (!callbacks->reload)
		return request_refuse(
			request,
			"nothing to reload: dmacastd was started without a configuration file");
	if (callbacks->is_draining(callbacks->argument))
		return request_refuse(request, "draining");
	request->effect.reload = callbacks->reload(callbacks->argument);
	return NULL;
}

static json_t *answer_handover(struct request *request)
{
	const struct control_callbacks *callbacks = request->callbacks;
	const char *command;

	if (!request_unpack(request, "{s:s}", "command", &command))
		return NULL;
	request->effect.hands_over = callbacks->hand_over(callbacks->argument, request->error);
	return NULL;
}

static json_t *answer_upgrade(struct request *request)
{
	const struct control_callbacks *callbacks = request->callbacks;
	const char *command, *path = NULL;

	if (!request_unpack(request, "{s:s, s?s}", "command", &command, "path", &path))
		return NULL;
	request->effect.hands_over = callbacks->upgrade(callbacks->argument, path, request->error);
	return NULL;
}

static json_t *answer_events(struct request *request)
{
	struct stream_search all = { .each = NULL };
	const char *command;
	json_t *answer;

	if (!request_unpack(request, "{s:s, s?s}", "command", &command, "stream", &all.name) ||
	    !search_streams(request, &all))
		return NULL;
	answer = json_object();
	request->effect.stream = answer && all.name ? strdup(all.name) : NULL;
	request->effect.subscribes = answer && (!all.name || request->effect.stream);
	if (request->effect.subscribes)
		return answer;
	json_decref(answer);
	return NULL;
}

static json_t *answer_log_level(struct request *request)
{
	const char *command, *wanted = NULL;
	const char *const *word = request_level_words();

	if (!request_unpack(request, "{s:s, s?s}", "command", &command, "level", &wanted))
		return NULL;
	if (wanted && !request->peer->may_change)
		return request_refuse(request,
				      "not allowed; only root and the daemon's own user may");
	for (int i = 0; wanted && word[i]; i++) {
		if (strcmp(word[i], wanted))
			continue;
		log_set_level((enum log_level)(LOG_LEVEL_ERROR + i));
		wanted = NULL;
	}
	if (wanted)
		return request_refuse(request,
				      "%s: no such level; expected error, warning, notice, info "
				      "or debug",
				      wanted);
	return json_pack("{s:s}", "level", request_level_word());
}

static const struct command {
	const char *name;
	bool changes; /* always changes something, so it needs may_change */
	json_t *(*answer)(struct request *request);
} commands[] = {
	{ "status", false, answer_status },	  { "streams", false, answer_streams },
	{ "clients", false, answer_clients },	  { "events", false, answer_events },
	{ "log-level", false, answer_log_level }, { "kick", true, answer_kick },
	{ "reload", true, answer_reload },	  { "drain", true, answer_drain },
	{ "handover", true, answer_handover },	  { "upgrade", true, answer_upgrade },
};

static const struct command *request_find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

/* Execute the command. Return: the members of the answer, or NULL with request->error. */
static json_t *answer_command(struct request *request)
{
	const struct request_peer *peer = request->peer;
	const json_t *name = json_object_get(request->object, "command");
	const struct command *command;

	if (!json_is_string(name))
		return request_refuse(request, "expected an object with \"command\"");
	command = request_find_command(json_string_value(name));
	if (!command)
		return request_refuse(request, "%s: unknown command", json_string_value(name));
	if (!command->changes)
		return command->answer(request);
	if (!peer->may_change)
		return request_refuse(request,
				      "not allowed; only root and the daemon's own user may");
	log_notice("control: uid %u, pid %d: %.*s", (unsigned int)peer->uid, (int)peer->pid,
		   (int)request->length, request->line);
	return command->answer(request);
}

char *request_refusal(const char *error)
{
	json_t *answer = json_pack("{s:b, s:o}", "ok", 0, "error", json_text(error));
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	json_decref(answer);
	return text;
}

/* Put "ok" in front of @members, a new reference. */
static json_t *success_answer(json_t *members)
{
	json_t *answer = json_pack("{s:b}", "ok", 1);

	if (answer && json_object_update(answer, members)) {
		json_decref(answer);
		answer = NULL;
	}
	json_decref(members);
	return answer;
}

/* Write @members, a new reference or NULL, as an answer; or @error without them. */
static char *request_write(json_t *members, const char *error)
{
	json_t *answer = members ? success_answer(members) : NULL;
	char *text = NULL;

	if (answer)
		text = json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(15));
	else
		text = request_refusal(error);
	json_decref(answer);
	if (!text || strlen(text) < MAX_ANSWER)
		return text;
	free(text);
	return request_refusal("the answer is too long; request less");
}

char *request_reload_answer(bool done, const char *text)
{
	json_t *members = NULL;

	if (done)
		members = *text ? json_pack("{s:o}", "warnings", json_text(text)) : json_object();
	return request_write(members, done ? "no memory" : text);
}

/* jansson says that a token is wrong when it had no memory for it, or says nothing: only what fails twice is wrong. */
static json_t *request_parse(const char *line, size_t length, json_error_t *error)
{
	json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, error);

	return object ? object : json_loadb(line, length, JSON_REJECT_DUPLICATES, error);
}

char *request_answer(const struct control_callbacks *callbacks, const struct request_peer *peer,
		     const char *line, size_t length, struct request_effect *effect)
{
	struct request request = {
		.callbacks = callbacks,
		.peer = peer,
		.line = line,
		.length = length,
		.error = "no memory",
	};
	json_error_t error;
	json_t *members = NULL;

	request.object = request_parse(line, length, &error);
	if (request.object)
		members = answer_command(&request);
	else if (*error.text)
		request_refuse(&request, "not JSON: %s", error.text);
	json_decref(request.object);
	*effect = request.effect;
	if (effect->reload || effect->hands_over)
		return NULL;
	return request_write(members, request.error);
}
