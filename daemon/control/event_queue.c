// SPDX-License-Identifier: BSD-2-Clause
#include "control/event_queue.h"

#include <stdlib.h>

struct queued_event {
	TAILQ_ENTRY(queued_event) entry;
	struct stream_event *event;
};

void event_queue_init(struct event_queue *queue)
{
	TAILQ_INIT(&queue->events);
	queue->count = 0;
	queue->taken = 0;
}

bool event_queue_add(struct event_queue *queue, const struct stream_event *event)
{
	struct queued_event *queued;

	if (queue->count == EVENT_QUEUE_MAX)
		return false;
	queued = malloc(sizeof(*queued));
	if (!queued)
		return false;
	queued->event = stream_event_copy(event);
	if (!queued->event) {
		free(queued);
		return false;
	}
	TAILQ_INSERT_TAIL(&queue->events, queued, entry);
	queue->count++;
	return true;
}

struct stream_event *event_queue_take(struct event_queue *queue)
{
	struct queued_event *queued = TAILQ_FIRST(&queue->events);
	struct stream_event *event;

	if (!queued)
		return NULL;
	event = queued->event;
	TAILQ_REMOVE(&queue->events, queued, entry);
	queue->count--;
	queue->taken++;
	free(queued);
	return event;
}

bool event_queue_has_space(const struct event_queue *queue)
{
	return queue->count < EVENT_QUEUE_MAX / 2;
}

void event_queue_clear(struct event_queue *queue)
{
	struct stream_event *event;

	while ((event = event_queue_take(queue)))
		free(event);
}
