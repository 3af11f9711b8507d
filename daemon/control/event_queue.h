/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events that have happened and are not written yet. Writing an event takes longer than it may take to make one, for
 * example when thousands of clients are kicked, so it is done later and in parts.
 */
#ifndef DMACAST_EVENT_QUEUE_H
#define DMACAST_EVENT_QUEUE_H

#include "stream/stream_event.h"

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

/* Upper bound for the events of a queue, which are less than half a KiB each. */
#define EVENT_QUEUE_MAX 16384U

TAILQ_HEAD(queued_event_list, queued_event);

struct event_queue {
	struct queued_event_list events;
	unsigned int count;
	uint64_t taken; /* number of events that were taken */
};

/** event_queue_init() - start without events. */
void event_queue_init(struct event_queue *queue);

/** event_queue_add() - add a copy of @event. Return: false if the queue is full, or without memory. */
bool event_queue_add(struct event_queue *queue, const struct stream_event *event);

/** event_queue_take() - return the oldest event, which the caller frees by free(); NULL if there is none. */
struct stream_event *event_queue_take(struct event_queue *queue);

/** event_queue_has_space() - return true if less than half of it is in use. */
bool event_queue_has_space(const struct event_queue *queue);

/** event_queue_clear() - forget all events. */
void event_queue_clear(struct event_queue *queue);

#endif
