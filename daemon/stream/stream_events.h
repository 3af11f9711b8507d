/* SPDX-License-Identifier: BSD-2-Clause */
/* The events of one stream. Each function does nothing while nobody watches, or without a watch. */
#ifndef DMACAST_STREAM_EVENTS_H
#define DMACAST_STREAM_EVENTS_H

#include "lib/stats.h"
#include "stream/stream_watch.h"

#include <stdint.h>

struct client;
struct client_group;
struct sockaddr;
struct window_gap;

struct stream_events {
	struct stream_watch *watch; /* NULL: none */
	const char *stream;	    /* name */
	struct event_sum overruns;
};

/** stream_events_init() - @watch: NULL: none; it and @stream, the name, must outlive @events, which must not move */
void stream_events_init(struct stream_events *events, struct stream_watch *watch,
			const char *stream);

/** stream_events_joined() - a client has joined. @clients: clients of the stream now */
void stream_events_joined(const struct client *client, uint64_t clients);

/** stream_events_left() - a client is GONE. @clients: clients of the stream without it */
void stream_events_left(struct client *client, uint64_t clients);

/** stream_events_dropped() - a client has skipped these blocks. */
void stream_events_dropped(struct client *client, const struct window_gap *lost);

/** stream_events_refused() - @peer was refused as a client of @group. */
void stream_events_refused(const struct client_group *group, const struct sockaddr *peer,
			   enum refuse_reason why);

/** stream_events_overrun() - the source has lost these blocks. */
void stream_events_overrun(struct stream_events *events, uint64_t blocks);

/** stream_events_source_up() - the source is open. @restarts: how often it was opened again */
void stream_events_source_up(const struct stream_events *events, uint64_t restarts);

/** stream_events_origin() - a relay takes another one of its origins. @switches: how often it did */
void stream_events_origin(const struct stream_events *events, const char *origin,
			  uint64_t switches);

/** stream_events_source_down() - the source is not open any more. @why: text */
void stream_events_source_down(const struct stream_events *events, const char *why);

/**
 * stream_events_endpoint() - the state of an endpoint of @group has changed.
 * @endpoint: as configured
 * @text: the address on which it listens, or what it waits for; NULL: none
 */
void stream_events_endpoint(const struct client_group *group, enum stream_event_type type,
			    const char *endpoint, const char *text);

/** stream_events_close() - report what is not reported yet. May be repeated. */
void stream_events_close(struct stream_events *events);

#endif
