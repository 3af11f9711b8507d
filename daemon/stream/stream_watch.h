/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The place where events of the daemon and of all streams are reported to one watcher, in the order in which they
 * happen. While nobody watches, an event costs the test of a pointer.
 *
 * Drops and losses can be frequent. They are added up in an event_sum, which is reported as one event after
 * EVENT_SUM_US; later if the watcher has no space, so that nothing is lost from the sums.
 */
#ifndef DMACAST_STREAM_WATCH_H
#define DMACAST_STREAM_WATCH_H

#include "stream/stream_event.h"

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;

/* Interval between two reports of sums, in microseconds. */
#define EVENT_SUM_US 100000

struct stream_watcher {
	/* An event has happened; it is valid during the call. */
	void (*event)(void *argument, const struct stream_event *event);
	/* Return false while sums should wait. */
	bool (*has_space)(void *argument);
};

/* All zero at first; for its owner until event_sum_end(). */
struct event_sum {
	TAILQ_ENTRY(event_sum) entry;
	bool pending;
	uint64_t since_ns; /* since 1970: first part */
	uint64_t bytes, blocks, count;
	/* Report the sum by stream_watch_report(). */
	void (*report)(const struct event_sum *sum);
};

TAILQ_HEAD(event_sum_list, event_sum);

struct stream_watch {
	const struct stream_watcher *watcher; /* NULL: nobody */
	void *argument;			      /* of the watcher */
	struct event_sum_list sums;	      /* those that are pending; oldest first */
	struct event timer;
};

/** stream_watch_init() - start without a watcher. @watch must not move. */
void stream_watch_init(struct stream_watch *watch, struct event_base *base);

/** stream_watch_begin() - report events from now on. @watcher: must outlive that; called with @argument */
void stream_watch_begin(struct stream_watch *watch, const struct stream_watcher *watcher,
			void *argument);

/** stream_watch_end() - report nothing from now on; pending sums are forgotten. May be repeated. */
void stream_watch_end(struct stream_watch *watch);

/** stream_watch_is_on() - return true if somebody watches. @watch: NULL is allowed */
static inline bool stream_watch_is_on(const struct stream_watch *watch)
{
	return watch && watch->watcher;
}

/** stream_watch_report() - report an event, with the present time. @watch: NULL is allowed */
void stream_watch_report(struct stream_watch *watch, struct stream_event event);

/**
 * event_sum_add() - add to a sum, which is reported later. For use while somebody watches.
 * @report: see struct event_sum
 */
void event_sum_add(struct event_sum *sum, struct stream_watch *watch, uint64_t bytes,
		   uint64_t blocks, void (*report)(const struct event_sum *sum));

/** event_sum_end() - report a sum now, if it is pending. */
void event_sum_end(struct event_sum *sum, struct stream_watch *watch);

#endif
