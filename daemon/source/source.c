// SPDX-License-Identifier: BSD-2-Clause
#include "source/source.h"

#include "source/source_type.h"

struct source *source_open(struct event_base *base, const struct stream_settings *settings,
			   struct ring *ring, const struct names *names,
			   const struct source_callbacks *callbacks, void *argument)
{
	if (settings->input)
		return source_input_open(base, settings, ring, names, callbacks, argument);
	if (settings->device)
		return source_device_open(base, settings, ring, callbacks, argument);
	return source_pattern_open(base, settings, ring, callbacks, argument);
}

void source_start(struct source *source)
{
	source->type->start(source);
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

void source_close(struct source *source)
{
	source->type->close(source);
}
