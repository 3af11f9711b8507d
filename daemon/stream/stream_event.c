// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_event.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const char *stream_event_word(enum stream_event_type type)
{
	static const char *const word[STREAM_EVENT_TYPES] = {
		[EVENT_JOIN] = "join",
		[EVENT_LEAVE] = "leave",
		[EVENT_REFUSED] = "refused",
		[EVENT_DROP] = "drop",
		[EVENT_OVERRUN] = "overrun",
		[EVENT_SOURCE_UP] = "source_up",
		[EVENT_SOURCE_DOWN] = "source_down",
		[EVENT_ORIGIN_SWITCHED] = "origin_switched",
		[EVENT_ENDPOINT_LISTENING] = "endpoint_listening",
		[EVENT_ENDPOINT_WAITING] = "endpoint_waiting",
		[EVENT_ENDPOINT_CLOSED] = "endpoint_closed",
		[EVENT_STREAM_ADDED] = "stream_added",
		[EVENT_STREAM_CHANGED] = "stream_changed",
		[EVENT_STREAM_RESTARTED] = "stream_restarted",
		[EVENT_STREAM_REMOVED] = "stream_removed",
		[EVENT_STREAM_DRAINING] = "stream_draining",
		[EVENT_STREAM_ENDED] = "stream_ended",
		[EVENT_RELOAD_DONE] = "reload_done",
		[EVENT_RELOAD_FAILED] = "reload_failed",
		[EVENT_DRAINING] = "draining",
	};

	return word[type];
}

/* Offsets of the texts in struct stream_event. */
static const size_t event_texts[] = {
	offsetof(struct stream_event, stream), offsetof(struct stream_event, section),
	offsetof(struct stream_event, client), offsetof(struct stream_event, endpoint),
	offsetof(struct stream_event, reason), offsetof(struct stream_event, text),
};

#define EVENT_TEXTS (sizeof(event_texts) / sizeof(event_texts[0]))

static const char **event_text_at(struct stream_event *event, size_t index)
{
	return (const char **)(void *)((char *)event + event_texts[index]);
}

struct stream_event *stream_event_copy(const struct stream_event *event)
{
	struct stream_event original = *event, *copy;
	size_t length[EVENT_TEXTS], total = sizeof(*copy);
	char *place;

	for (size_t i = 0; i < EVENT_TEXTS; i++) {
		const char *text = *event_text_at(&original, i);

		length[i] = text ? strlen(text) + 1 : 0;
		total += length[i];
	}
	copy = malloc(total);
	if (!copy)
		return NULL;
	*copy = original;
	place = (char *)(copy + 1);
	for (size_t i = 0; i < EVENT_TEXTS; i++) {
		if (!length[i])
			continue;
		memcpy(place, *event_text_at(&original, i), length[i]);
		*event_text_at(copy, i) = place;
		place += length[i];
	}
	return copy;
}
