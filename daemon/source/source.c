// SPDX-License-Identifier: BSD-2-Clause
#include "source/source.h"

#include "lib/state.h"
#include "source/source_type.h"

#include <bsd/string.h>
#include <errno.h>

struct source *source_open(struct event_base *base, const struct stream_settings *settings,
			   struct ring *ring, const struct names *names,
			   const struct source_callbacks *callbacks, void *argument)
{
	if (stream_settings_is_relay(settings))
		return source_framed_open(base, settings, ring, callbacks, argument);
	if (settings->input.first)
		return source_input_open(base, settings, ring, names, callbacks, argument);
	if (settings->device)
		return source_device_open(base, settings, ring, callbacks, argument);
	return source_pattern_open(base, settings, ring, callbacks, argument);
}

void source_init(struct source *source, const struct source_type *type, const char *text,
		 const struct source_callbacks *callbacks, void *argument)
{
	*source = (struct source){
		.type = type, .text = text, .callbacks = callbacks, .argument = argument
	};
}

void source_start(struct source *source)
{
	source->type->start(source);
}

void source_pause(struct source *source)
{
	if (source->state == SOURCE_RUNNING)
		source_note_end(source, "no client is left");
	source->type->pause(source);
}

void source_stop(struct source *source)
{
	source->type->stop(source);
}

bool source_is_busy(const struct source *source)
{
	return source->type->is_busy && source->type->is_busy(source);
}

void source_kill(struct source *source)
{
	if (source->type->kill)
		source->type->kill(source);
}

void source_adapt(struct source *source)
{
	source->type->adapt(source);
}

ssize_t source_write(struct source *source, const void *bytes, size_t length)
{
	if (source->type->write)
		return source->type->write(source, bytes, length);
	errno = EBADF;
	return -1;
}

const char *source_text(const struct source *source)
{
	return source->text;
}

enum source_state source_state(const struct source *source, uint64_t now_ns)
{
	uint64_t last_ns =
		source->last_byte_ns > source->since_ns ? source->last_byte_ns : source->since_ns;

	if (source->state == SOURCE_RUNNING && !source->held_up &&
	    now_ns >= last_ns + SOURCE_SILENT_NS)
		return SOURCE_SILENT;
	return source->state;
}

void source_note_end(struct source *source, const char *why)
{
	strlcpy(source->why_down, why, sizeof(source->why_down));
}

static void source_report_change(struct source *source, bool is_up)
{
	const struct source_callbacks *callbacks = source->callbacks;

	if (is_up && callbacks->up)
		callbacks->up(source->argument);
	if (!is_up && callbacks->down)
		callbacks->down(source->argument,
				source->why_down[0] ? source->why_down : "stopped");
	source->why_down[0] = '\0';
}

void source_set_state(struct source *source, enum source_state state, bool held_up)
{
	bool was_up = source->state == SOURCE_RUNNING, is_up = state == SOURCE_RUNNING;

	source->state = state;
	source->held_up = held_up;
	source->since_ns = clock_monotonic_ns();
	if (was_up != is_up)
		source_report_change(source, is_up);
}

const char *source_state_word(enum source_state state)
{
	static const char *const word[SOURCE_STATES] = { "waiting", "connecting", "running",
							 "silent", "ended" };

	return word[state];
}

uint64_t source_last_byte_ns(const struct source *source)
{
	return source->last_byte_ns;
}

/* ---- handover ---- */

void source_transfer(struct source *source, struct state *state)
{
	int number = (int)source->state;

	state_choice(state, "state", &number, SOURCE_STATES);
	source->state = (enum source_state)number;
	state_bool(state, "held_up", &source->held_up);
	state_u64(state, "since_ns", &source->since_ns);
	state_u64(state, "last_byte_ns", &source->last_byte_ns);
	state_string(state, "why_down", source->why_down, sizeof(source->why_down));
}

void source_save(struct source *source, struct state *state)
{
	state_enter(state, "source");
	source_transfer(source, state);
	source->type->save(source, state);
	state_leave(state);
}

static struct source *source_restore_kind(struct event_base *base,
					  const struct stream_settings *settings, struct ring *ring,
					  const struct source_callbacks *callbacks, void *argument,
					  struct state *state)
{
	if (stream_settings_is_relay(settings))
		return source_framed_restore(base, settings, ring, callbacks, argument, state);
	if (settings->input.first)
		return source_input_restore(base, settings, ring, callbacks, argument, state);
	if (settings->device)
		return source_device_restore(base, settings, ring, callbacks, argument, state);
	return source_pattern_restore(base, settings, ring, callbacks, argument, state);
}

struct source *source_restore(struct event_base *base, const struct stream_settings *settings,
			      struct ring *ring, const struct source_callbacks *callbacks,
			      void *argument, struct state *state)
{
	static const struct source_callbacks none;
	struct source *source = NULL;

	state_enter(state, "source");
	if (!state_failed(state))
		source = source_restore_kind(base, settings, ring, callbacks, argument, state);
	if (!source)
		state_fail(state, "no memory");
	state_leave(state);
	if (!source || !state_failed(state))
		return source;
	source->callbacks = &none; /* the stream is not whole */
	source_close(source);
	return NULL;
}

void source_close(struct source *source)
{
	source->type->close(source);
}
