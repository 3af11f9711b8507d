/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connections that get events. An event is written once, and the line goes to each of them. One that does not read
 * keeps at most EVENT_FEED_BYTES; events that do not fit are counted for it, and a line tells their number before the
 * next one that fits.
 *
 *   stream_watch ─▶ event_queue ─ event_feed_run() ─▶ output of each subscription
 */
#ifndef DMACAST_EVENT_FEED_H
#define DMACAST_EVENT_FEED_H

#include "control/event_queue.h"

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evbuffer;
struct stream_watch;

/* Upper bound for the bytes that wait in the output of a subscription. */
#define EVENT_FEED_BYTES ((size_t)256 << 10)

struct event_subscription {
	TAILQ_ENTRY(event_subscription) entry;
	struct evbuffer *output;
	char *stream;	/* only events of this one; NULL: all events */
	uint64_t first; /* index of the first event for it, among those of the queue */
	uint64_t lost;	/* events since the last line that told their number */
};

TAILQ_HEAD(event_subscription_list, event_subscription);

struct event_feed {
	struct stream_watch *watch;
	void (*wake)(void *argument);
	void *argument; /* of wake() */
	struct event_queue queue;
	struct event_subscription_list subscriptions;
	unsigned int count; /* of subscriptions */
};

/**
 * event_feed_init() - start without subscriptions.
 * @watch: must outlive @feed, which must not move
 * @wake: called with @argument: event_feed_run() has something to do
 */
void event_feed_init(struct event_feed *feed, struct stream_watch *watch,
		     void (*wake)(void *argument), void *argument);

/**
 * event_feed_add() - send events to @subscription from now on.
 * @output: must exist until event_feed_remove()
 * @stream: taken over; see struct event_subscription
 */
void event_feed_add(struct event_feed *feed, struct event_subscription *subscription,
		    struct evbuffer *output, char *stream);

/** event_feed_remove() - end a subscription. With the last one, nothing is watched any more. */
void event_feed_remove(struct event_feed *feed, struct event_subscription *subscription);

/** event_feed_run() - write events until the monotonic time @until_ns, at least one. */
void event_feed_run(struct event_feed *feed, uint64_t until_ns);

/** event_feed_is_pending() - return true if events are not written yet. */
bool event_feed_is_pending(const struct event_feed *feed);

/** event_feed_drained() - the output of @subscription is empty: tell what it has lost. */
void event_feed_drained(struct event_subscription *subscription);

#endif
