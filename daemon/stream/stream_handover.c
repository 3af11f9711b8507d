// SPDX-License-Identifier: BSD-2-Clause
/*
 * A stream in the state that a successor restores, see state.h. What follows from the rest is not saved: the budget,
 * the charges of the memory, the numbers of clients, what the kernel copies for, and all timers. Sums of events are not
 * saved either, because those who watch have to connect again.
 */
#include "config/config_state.h"
#include "lib/state.h"
#include "ring/ring.h"
#include "source/source.h"
#include "stream/stream_internal.h"

#include <stdlib.h>

/* Upper bounds of what is restored. */
#define MAX_SECTIONS 100000U
#define MAX_CLIENTS 10000000U

/* ---- sections ---- */

static void section_save_clients(const struct section *section, struct state *state)
{
	struct client *client;

	state_list(state, "clients", MAX_CLIENTS);
	TAILQ_FOREACH (client, &section->crowd.clients, entry) {
		state_item(state);
		client_save(client, section->stream->ring, state);
		state_leave(state);
	}
	state_list_end(state);
}

static void section_transfer(struct section *section, struct state *state)
{
	stream_admission_transfer(&section->admission, state);
	if (section->removed)
		state_u64(state, "drain_ns", &section->drain_ns);
}

static void section_save(struct section *section, struct state *state)
{
	state_string_copy(state, "name", &section->name);
	state_bool(state, "removed", &section->removed);
	if (section->removed)
		config_state_save_clients(section->name, section->group.settings, state);
	section_transfer(section, state);
	endpoints_save(&section->endpoints, state);
	section_save_clients(section, state);
}

/* Make a section that the settings do not have any more. Return: NULL after a failure. */
static struct section *section_restore_removed(struct stream *stream, char *name,
					       struct state *state)
{
	struct endpoint_settings endpoint = { .name = name };
	struct section *section;

	if (!name) {
		state_fail(state, "removed: expected a name");
		return NULL;
	}
	if (!config_state_restore_clients(&endpoint.client, state))
		return NULL;
	section = stream_add_section(stream, &endpoint);
	if (section)
		section_remove(section);
	else
		state_fail(state, "no memory for a section");
	return section;
}

/* Make a section of the settings. @name: NULL: the stream's own. Return: NULL after a failure. */
static struct section *section_restore_current(struct stream *stream, const char *name,
					       struct state *state)
{
	const struct endpoint_settings *endpoint =
		name ? stream_settings_find_endpoint(stream->settings, name) : NULL;
	bool is_first = TAILQ_EMPTY(&stream->sections);
	struct section *section;

	if (is_first != !name || (name && (!endpoint || stream_find_section(stream, name)))) {
		state_fail(state, "name: %s is not expected here", name ? name : "none");
		return NULL;
	}
	section = stream_add_section(stream, endpoint);
	if (!section)
		state_fail(state, "no memory for a section");
	return section;
}

static struct section *section_restore_settings(struct stream *stream, struct state *state)
{
	struct section *section = NULL;
	bool removed = false;
	char *name = NULL;

	state_string_copy(state, "name", &name);
	state_bool(state, "removed", &removed);
	if (!state_failed(state))
		section = removed ? section_restore_removed(stream, name, state)
				  : section_restore_current(stream, name, state);
	free(name);
	return section;
}

/* @client: taken over. Return: false after a failure. */
static bool section_join_client(struct section *section, struct client *client, struct state *state)
{
	struct crowd_host *host =
		stream_crowd_reserve(&section->crowd, (const struct sockaddr *)&client->peer);

	if (!host) {
		state_fail(state, "no memory for a client");
		client_abandon(client);
		return false;
	}
	stream_crowd_join(&section->crowd, client, host);
	section->stream->clients++;
	if (client_is_half_closed(client))
		stream_crowd_add_half_closed(&section->crowd, client);
	stream_queue_resume(&section->stream->queue, client);
	return true;
}

static void section_restore_clients(struct section *section, struct state *state)
{
	state_list(state, "clients", MAX_CLIENTS);
	while (state_next_item(state)) {
		struct client *client =
			client_restore(&section->group, section->stream->ring, state);

		if (client)
			section_join_client(section, client, state);
	}
}

static void section_restore(struct stream *stream, struct state *state)
{
	struct section *section = section_restore_settings(stream, state);

	if (!section)
		return;
	section_transfer(section, state);
	endpoints_restore(&section->endpoints, state);
	section_restore_clients(section, state);
}

static size_t stream_count_sections(const struct stream *stream)
{
	const struct section *section;
	size_t count = 0;

	TAILQ_FOREACH (section, &stream->sections, entry)
		count += !section->removed;
	return count;
}

static void stream_save_sections(struct stream *stream, struct state *state)
{
	struct section *section;

	state_list(state, "sections", MAX_SECTIONS);
	TAILQ_FOREACH (section, &stream->sections, entry) {
		state_item(state);
		section_save(section, state);
		state_leave(state);
	}
	state_list_end(state);
}

static void stream_restore_sections(struct stream *stream, struct state *state)
{
	state_list(state, "sections", MAX_SECTIONS);
	while (state_next_item(state))
		section_restore(stream, state);
	if (stream_count_sections(stream) != stream_settings_sections(stream->settings))
		state_fail(state, "sections: some of the settings are missing");
}

/* ---- the stream ---- */

/* The members that are plain values. */
static void stream_transfer_values(struct stream *stream, struct state *state)
{
	int number = (int)stream->state;

	state_choice(state, "state", &number, STREAM_ENDED + 1);
	stream->state = (enum stream_state)number;
	state_bool(state, "started", &stream->started);
	state_bool(state, "is_successor", &stream->is_successor);
	state_u64(state, "opened_ns", &stream->opened_ns);
	state_u64(state, "appeared_ns", &stream->appeared_ns);
	state_u64(state, "deserted_ns", &stream->demand.deserted_ns);
	backoff_transfer(&stream->backoff, state, "backoff");
	state_bool(state, "watch_failed", &stream->watch_failed);
	state_string(state, "device_error", stream->device_error, sizeof(stream->device_error));
	state_string(state, "logged_error", stream->logged_error, sizeof(stream->logged_error));
	log_limit_transfer(&stream->start_log, state, "start_log");
	log_limit_transfer(&stream->pause_log, state, "pause_log");
	log_limit_transfer(&stream->missed_log, state, "missed_log");
	stream_journal_transfer(&stream->journal, state);
	stream_frames_transfer(&stream->frames, state);
	stream_preamble_transfer(&stream->preamble, state);
	stream_input_transfer(&stream->input, state);
}

void stream_save(struct stream *stream, struct state *state)
{
	bool has_ring = stream->ring, retries = stream_awaits_retry(stream);

	state_enter(state, "stream");
	config_state_save_stream(stream->settings, state);
	stream_transfer_values(stream, state);
	state_bool(state, "retries", &retries);
	state_bool(state, "has_ring", &has_ring);
	if (has_ring)
		ring_save(stream->ring, state);
	window_transfer(stream->window, stream->ring, state);
	stream_save_sections(stream, state);
	stream_lag_transfer(&stream->lag, state);
	if (has_ring)
		source_save(stream->source, state);
	state_leave(state);
}

/* Return true if the state of the stream allows that it has a ring, or none. */
static bool stream_may_have_ring(const struct stream *stream, bool has_ring)
{
	if (stream->state == STREAM_WAITING)
		return !has_ring && stream->settings->device;
	return has_ring || stream->state >= STREAM_ENDING;
}

static void stream_restore_ring(struct stream *stream, struct state *state)
{
	const struct stream_settings *settings = stream->settings;

	stream->ring = ring_restore(stream->base, settings, state);
	if (!stream->ring)
		return;
	if (ring_is_device(stream->ring) != (settings->device != NULL) ||
	    ring_block_size(stream->ring) != settings->block_size ||
	    ring_blocks(stream->ring) != stream_settings_blocks(settings))
		state_fail(state, "the ring is another one than the settings have");
	stream_lag_set_ring(&stream->lag, stream->ring);
}

/* The source comes last: what clients and the window do not own is the source's. */
static void stream_restore_source(struct stream *stream, struct state *state)
{
	stream->source = source_restore(stream->base, stream->settings, stream->ring,
					&stream_source_callbacks, stream, state);
	if (stream->source)
		ring_check_restored(stream->ring, state);
}

static void stream_restore_parts(struct stream *stream, struct state *state, bool has_ring)
{
	if (has_ring)
		stream_restore_ring(stream, state);
	if (!state_failed(state))
		window_transfer(stream->window, stream->ring, state);
	stream_history_adapt(&stream->history);
	stream_restore_sections(stream, state);
	stream_lag_transfer(&stream->lag, state);
	if (has_ring && !state_failed(state))
		stream_restore_source(stream, state);
}

static uint64_t stream_count_active(const struct stream *stream)
{
	const struct section *section;
	const struct client *client;
	uint64_t active = 0;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		TAILQ_FOREACH (client, &section->crowd.clients, entry)
			active += client_is_active(client);
	}
	return active;
}

/* Everything but the settings, which are there. */
static void stream_restore_members(struct stream *stream, struct state *state)
{
	bool has_ring = false, retries = false;

	stream_transfer_values(stream, state);
	state_bool(state, "retries", &retries);
	state_bool(state, "has_ring", &has_ring);
	if (!stream_may_have_ring(stream, has_ring))
		state_fail(state, "has_ring: contradicts the state of the stream");
	if (!has_ring && stream->input.state != STREAM_INPUT_ABSENT)
		state_fail(state, "input: there is no source");
	if (!state_failed(state))
		/* model: adopt */
		stream_restore_parts(stream, state, has_ring);
	if (!state_failed(state))
		stream_resume(stream, stream_count_active(stream), retries);
}

struct stream *stream_restore(struct event_base *base, struct stream_stats *stats,
			      const struct stream_callbacks *callbacks, void *argument,
			      struct state *state)
{
	struct stream_settings *settings;
	struct stream *stream = NULL;

	state_enter(state, "stream");
	settings = config_state_restore_stream(state);
	if (settings)
		stream = stream_create(base, settings, stats, callbacks, argument);
	if (stream)
		stream_restore_members(stream, state);
	else
		state_fail(state, "no memory for a stream");
	state_leave(state);
	if (!stream || !state_failed(state))
		return stream;
	stream_abandon(stream);
	return NULL;
}
