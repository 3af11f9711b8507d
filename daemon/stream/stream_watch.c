// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_watch.h"

#include "lib/clock.h"
#include "lib/priority.h"

#include <event2/event.h>

static void watch_schedule(struct stream_watch *watch)
{
	const struct timeval delay = clock_timeval(EVENT_SUM_US);

	/* Without memory for the timer the next part of a sum tries again. */
	if (!TAILQ_EMPTY(&watch->sums) && !evtimer_pending(&watch->timer, NULL))
		evtimer_add(&watch->timer, &delay);
}

static void event_sum_forget(struct event_sum *sum, struct stream_watch *watch)
{
	TAILQ_REMOVE(&watch->sums, sum, entry);
	*sum = (struct event_sum){ .pending = false };
}

/* Sums that there is no time or space for wait for the next time. */
static void watch_sums_due(evutil_socket_t fd, short what, void *argument)
{
	struct stream_watch *watch = argument;
	uint64_t until_ns = clock_monotonic_ns() + MAX_CALLBACK_NS;
	struct event_sum *sum;

	(void)fd;
	(void)what;
	while ((sum = TAILQ_FIRST(&watch->sums)) && clock_monotonic_ns() < until_ns &&
	       watch->watcher->has_space(watch->argument))
		event_sum_end(sum, watch);
	watch_schedule(watch);
}

void stream_watch_init(struct stream_watch *watch, struct event_base *base)
{
	*watch = (struct stream_watch){ .watcher = NULL };
	TAILQ_INIT(&watch->sums);
	evtimer_assign(&watch->timer, base, watch_sums_due, watch);
}

void stream_watch_begin(struct stream_watch *watch, const struct stream_watcher *watcher,
			void *argument)
{
	watch->watcher = watcher;
	watch->argument = argument;
}

void stream_watch_end(struct stream_watch *watch)
{
	struct event_sum *sum;

	watch->watcher = NULL;
	evtimer_del(&watch->timer);
	while ((sum = TAILQ_FIRST(&watch->sums)))
		event_sum_forget(sum, watch);
}

void stream_watch_report(struct stream_watch *watch, struct stream_event event)
{
	if (!stream_watch_is_on(watch))
		return;
	event.time_ns = clock_ns(CLOCK_REALTIME);
	watch->watcher->event(watch->argument, &event);
}

void event_sum_add(struct event_sum *sum, struct stream_watch *watch, uint64_t bytes,
		   uint64_t blocks, void (*report)(const struct event_sum *sum))
{
	if (!sum->pending) {
		sum->pending = true;
		sum->since_ns = clock_ns(CLOCK_REALTIME);
		sum->report = report;
		TAILQ_INSERT_TAIL(&watch->sums, sum, entry);
	}
	sum->bytes += bytes;
	sum->blocks += blocks;
	sum->count++;
	watch_schedule(watch);
}

void event_sum_end(struct event_sum *sum, struct stream_watch *watch)
{
	if (!sum->pending)
		return;
	sum->report(sum);
	event_sum_forget(sum, watch);
}
