/* SPDX-License-Identifier: BSD-2-Clause */
/* An event for those who watch the daemon, as plain values: dmacastctl(8) describes each. */
#ifndef DMACAST_STREAM_EVENT_H
#define DMACAST_STREAM_EVENT_H

#include "lib/stats.h"

#include <stdbool.h>
#include <stdint.h>

enum stream_event_type {
	EVENT_JOIN,
	EVENT_LEAVE,
	EVENT_REFUSED,
	EVENT_DROP,
	EVENT_OVERRUN,
	EVENT_SOURCE_UP,
	EVENT_SOURCE_DOWN,
	EVENT_ORIGIN_SWITCHED,
	EVENT_ENDPOINT_LISTENING,
	EVENT_ENDPOINT_WAITING,
	EVENT_ENDPOINT_CLOSED,
	EVENT_STREAM_ADDED,
	EVENT_STREAM_CHANGED,
	EVENT_STREAM_RESTARTED,
	EVENT_STREAM_REMOVED,
	EVENT_STREAM_DRAINING,
	EVENT_STREAM_ENDED,
	EVENT_RELOAD_DONE,
	EVENT_RELOAD_FAILED,
	EVENT_DRAINING,
	STREAM_EVENT_TYPES
};

/* Each type uses some of the members. Texts that it does not have are NULL. */
struct stream_event {
	enum stream_event_type type;
	uint64_t time_ns;     /* since 1970 */
	const char *stream;   /* name; NULL: the event is about the daemon */
	const char *section;  /* of [endpoint NAME]; NULL: the stream's own endpoints */
	const char *client;   /* address of the peer */
	const char *endpoint; /* local address, or the endpoint as configured */
	const char *reason;   /* a word */
	const char *text;     /* for people */
	uint64_t since_ns;    /* since 1970: first of the drops or losses that are added up */
	uint64_t duration_ns; /* of a connection */
	uint64_t bytes, blocks, count;
	uint64_t clients;	   /* of the stream, after the event */
	struct client_stats stats; /* of the client so far */
	bool former;		   /* a stream of the same name has taken its place */
};

/** stream_event_word() - return the word for programs: "join". */
const char *stream_event_word(enum stream_event_type type);

/** stream_event_copy() - return a copy with its texts, to be freed by free(); NULL without memory. */
struct stream_event *stream_event_copy(const struct stream_event *event);

#endif
