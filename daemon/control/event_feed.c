// SPDX-License-Identifier: BSD-2-Clause
#include "control/event_feed.h"

#include "lib/clock.h"
#include "observe/event_report.h"
#include "stream/stream_watch.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

/* A subscription that has lost events gets more once its output is not longer than this, in bytes. */
#define RESUME_BYTES (EVENT_FEED_BYTES / 2)

/* ---- one subscription ---- */

static bool subscription_wants(const struct event_subscription *subscription,
			       const struct stream_event *event)
{
	return !subscription->stream ||
	       (event->stream && !strcmp(event->stream, subscription->stream));
}

/* Add @line, which may be NULL, and a newline. Return: false without memory, and then nothing is added. */
static bool subscription_add_line(struct event_subscription *subscription, const char *line)
{
	size_t length = line ? strlen(line) : 0;

	return line && !evbuffer_expand(subscription->output, length + 1) &&
	       !evbuffer_add(subscription->output, line, length) &&
	       !evbuffer_add(subscription->output, "\n", 1);
}

/* Return: false without memory. */
static bool subscription_tell_lost(struct event_subscription *subscription)
{
	char *line = event_report_lost(subscription->lost);
	bool told = subscription_add_line(subscription, line);

	if (told)
		subscription->lost = 0;
	free(line);
	return told;
}

static bool subscription_has_space(const struct event_subscription *subscription, size_t bytes)
{
	size_t length = evbuffer_get_length(subscription->output);

	return subscription->lost ? length <= RESUME_BYTES : length + bytes <= EVENT_FEED_BYTES;
}

static void subscription_deliver(struct event_subscription *subscription, const char *line)
{
	if (!line || !subscription_has_space(subscription, strlen(line) + 1) ||
	    (subscription->lost && !subscription_tell_lost(subscription)) ||
	    !subscription_add_line(subscription, line))
		subscription->lost++;
}

void event_feed_drained(struct event_subscription *subscription)
{
	if (subscription->lost)
		subscription_tell_lost(subscription);
}

/* ---- all of them ---- */

static bool event_feed_is_wanted(const struct event_feed *feed, const struct stream_event *event)
{
	const struct event_subscription *subscription;

	TAILQ_FOREACH (subscription, &feed->subscriptions, entry) {
		if (subscription_wants(subscription, event))
			return true;
	}
	return false;
}

static void event_feed_count_lost(struct event_feed *feed, const struct stream_event *event)
{
	struct event_subscription *subscription;

	TAILQ_FOREACH (subscription, &feed->subscriptions, entry)
		subscription->lost += subscription_wants(subscription, event);
}

static void event_feed_note(void *argument, const struct stream_event *event)
{
	struct event_feed *feed = argument;

	if (!event_feed_is_wanted(feed, event))
		return;
	if (!event_queue_add(&feed->queue, event))
		event_feed_count_lost(feed, event);
	feed->wake(feed->argument);
}

static bool event_feed_has_space(void *argument)
{
	const struct event_feed *feed = argument;

	return event_queue_has_space(&feed->queue);
}

static const struct stream_watcher event_feed_watcher = {
	.event = event_feed_note,
	.has_space = event_feed_has_space,
};

/* @index: of the event among those of the queue */
static void event_feed_deliver(struct event_feed *feed, const struct stream_event *event,
			       uint64_t index)
{
	struct event_subscription *subscription;
	char *line = event_report(event);

	TAILQ_FOREACH (subscription, &feed->subscriptions, entry) {
		if (index >= subscription->first && subscription_wants(subscription, event))
			subscription_deliver(subscription, line);
	}
	free(line);
}

void event_feed_init(struct event_feed *feed, struct stream_watch *watch,
		     void (*wake)(void *argument), void *argument)
{
	*feed = (struct event_feed){ .watch = watch, .wake = wake, .argument = argument };
	event_queue_init(&feed->queue);
	TAILQ_INIT(&feed->subscriptions);
}

void event_feed_add(struct event_feed *feed, struct event_subscription *subscription,
		    struct evbuffer *output, char *stream)
{
	/* Events that are in the queue happened before. */
	*subscription = (struct event_subscription){
		.output = output,
		.stream = stream,
		.first = feed->queue.taken + feed->queue.count,
	};
	TAILQ_INSERT_TAIL(&feed->subscriptions, subscription, entry);
	if (!feed->count++)
		stream_watch_begin(feed->watch, &event_feed_watcher, feed);
}

void event_feed_remove(struct event_feed *feed, struct event_subscription *subscription)
{
	TAILQ_REMOVE(&feed->subscriptions, subscription, entry);
	free(subscription->stream);
	if (--feed->count)
		return;
	stream_watch_end(feed->watch);
	event_queue_clear(&feed->queue);
}

void event_feed_run(struct event_feed *feed, uint64_t until_ns)
{
	struct stream_event *event;

	while ((event = event_queue_take(&feed->queue))) {
		event_feed_deliver(feed, event, feed->queue.taken - 1);
		free(event);
		if (clock_monotonic_ns() >= until_ns)
			break;
	}
}

bool event_feed_is_pending(const struct event_feed *feed)
{
	return feed->queue.count;
}
