// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_names.h"

#include "config/config_state.h"
#include "config/option_table.h"
#include "lib/log.h"
#include "lib/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct finished_stream {
	TAILQ_ENTRY(finished_stream) entry;
	struct stream_settings *settings;
};

void stream_names_init(struct stream_names *names)
{
	TAILQ_INIT(&names->totals);
	TAILQ_INIT(&names->finished);
}

/* ---- totals ---- */

static struct name_totals *names_find_totals(struct stream_names *names, const char *name)
{
	struct name_totals *totals;

	TAILQ_FOREACH (totals, &names->totals, entry) {
		if (!strcmp(totals->name, name))
			break;
	}
	return totals;
}

static struct name_totals *names_add_totals(struct stream_names *names, const char *name)
{
	struct name_totals *totals = calloc(1, sizeof(*totals));

	if (!totals || !(totals->name = strdup(name))) {
		log_error("stream %s: no memory", name);
		free(totals);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&names->totals, totals, entry);
	return totals;
}

struct name_totals *stream_names_use(struct stream_names *names, const char *name)
{
	struct name_totals *totals = names_find_totals(names, name);

	if (!totals)
		totals = names_add_totals(names, name);
	if (totals)
		totals->users++;
	return totals;
}

void name_totals_release(struct name_totals *totals)
{
	assert(totals->users);
	totals->users--;
}

static void names_remove_totals(struct stream_names *names, struct name_totals *totals)
{
	TAILQ_REMOVE(&names->totals, totals, entry);
	stream_stats_clear(&totals->stats);
	free(totals->name);
	free(totals);
}

/* ---- streams that ended by themselves ---- */

static void names_remove_finished(struct stream_names *names, struct finished_stream *finished)
{
	TAILQ_REMOVE(&names->finished, finished, entry);
	stream_settings_free(finished->settings);
	free(finished);
}

void stream_names_finished(struct stream_names *names, const struct stream_settings *settings)
{
	struct finished_stream *finished = calloc(1, sizeof(*finished));

	if (!finished || !(finished->settings = stream_settings_copy(settings))) {
		free(finished);
		return; /* the next reload starts the stream again */
	}
	TAILQ_INSERT_TAIL(&names->finished, finished, entry);
}

void stream_names_started(struct stream_names *names, const char *name)
{
	struct finished_stream *finished, *next;

	TAILQ_FOREACH_SAFE (finished, &names->finished, entry, next) {
		if (!strcmp(finished->settings->name, name))
			names_remove_finished(names, finished);
	}
}

bool stream_names_is_unchanged(const struct stream_settings *a, const struct stream_settings *b)
{
	char options[OPTION_NAMES_TEXT];

	return !strcmp(a->name, b->name) &&
	       !option_changes(OPTION_STREAM, OPTION_EFFECTS_ALL, a, b, options) &&
	       !option_endpoint_changes(a, b, options);
}

bool stream_names_is_finished(const struct stream_names *names,
			      const struct stream_settings *settings)
{
	const struct finished_stream *finished;

	TAILQ_FOREACH (finished, &names->finished, entry) {
		if (stream_names_is_unchanged(finished->settings, settings))
			return true;
	}
	return false;
}

/* ---- forgetting ---- */

static bool names_is_configured(const struct stream_settings *settings, size_t count,
				const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(settings[i].name, name))
			return true;
	}
	return false;
}

void stream_names_forget_others(struct stream_names *names, const struct stream_settings *settings,
				size_t count)
{
	struct finished_stream *finished, *next_finished;
	struct name_totals *totals, *next_totals;

	TAILQ_FOREACH_SAFE (finished, &names->finished, entry, next_finished) {
		if (!names_is_configured(settings, count, finished->settings->name))
			names_remove_finished(names, finished);
	}
	TAILQ_FOREACH_SAFE (totals, &names->totals, entry, next_totals) {
		if (!totals->users && !names_is_configured(settings, count, totals->name))
			names_remove_totals(names, totals);
	}
}

void stream_names_free(struct stream_names *names)
{
	stream_names_forget_others(names, NULL, 0);
}

/* ---- handover ---- */

/* Upper bounds; names that were removed from the configuration are forgotten. */
#define MAX_NAMES 100000U
#define MAX_FINISHED 100000U

static void names_save_totals(const struct stream_names *names, struct state *state)
{
	struct name_totals *totals;

	state_list(state, "totals", MAX_NAMES);
	TAILQ_FOREACH (totals, &names->totals, entry) {
		state_item(state);
		state_string_copy(state, "name", &totals->name);
		stream_stats_transfer(&totals->stats, state, "stats");
		state_leave(state);
	}
	state_list_end(state);
}

static void names_save_finished(const struct stream_names *names, struct state *state)
{
	const struct finished_stream *finished;

	state_list(state, "finished", MAX_FINISHED);
	TAILQ_FOREACH (finished, &names->finished, entry) {
		state_item(state);
		config_state_save_stream(finished->settings, state);
		state_leave(state);
	}
	state_list_end(state);
}

void stream_names_save(const struct stream_names *names, struct state *state)
{
	state_enter(state, "names");
	names_save_totals(names, state);
	names_save_finished(names, state);
	state_leave(state);
}

static void names_restore_name(struct stream_names *names, struct state *state)
{
	struct name_totals *totals = NULL;
	char *name = NULL;

	state_string_copy(state, "name", &name);
	if (name && names_find_totals(names, name))
		state_fail(state, "name: %s is there twice", name);
	else if (name)
		totals = names_add_totals(names, name);
	free(name);
	if (totals)
		stream_stats_transfer(&totals->stats, state, "stats");
	else
		state_fail(state, "name: expected one");
}

static void names_restore_finished(struct stream_names *names, struct state *state)
{
	struct stream_settings *settings = config_state_restore_stream(state);

	if (settings)
		stream_names_finished(names, settings);
	stream_settings_free(settings);
}

void stream_names_restore(struct stream_names *names, struct state *state)
{
	state_enter(state, "names");
	state_list(state, "totals", MAX_NAMES);
	while (state_next_item(state))
		names_restore_name(names, state);
	state_list(state, "finished", MAX_FINISHED);
	while (state_next_item(state))
		names_restore_finished(names, state);
	state_leave(state);
}

/* ---- the report ---- */

void name_report_init(struct name_report *report, const struct name_totals *totals)
{
	*report = (struct name_report){
		.name = totals->name,
		.stats = &totals->stats,
		.totals = totals->stats.left,
	};
}

void name_report_add(struct name_report *report, const struct stream_report *stream)
{
	if (!report->generations++)
		report->newest = *stream;
	report->clients += stream->clients;
	report->outstanding_sends += stream->outstanding_sends;
	report->socket_memory_granted += stream->socket_memory_granted;
	report->queued_input_bytes += stream->queued_input_bytes;
	report->copied_rest_bytes += stream->copied_rest_bytes;
	if (stream->most_lag_bytes > report->most_lag_bytes)
		report->most_lag_bytes = stream->most_lag_bytes;
	if (stream->most_lag_ns > report->most_lag_ns)
		report->most_lag_ns = stream->most_lag_ns;
	client_totals_join(&report->totals, &stream->present);
}
