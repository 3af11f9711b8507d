/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The streams of the configuration, by name. Of each one is current; while the clients of a former
 * one, whose device is gone or which was started again, are let go, that is there, too.
 */
#ifndef DMACAST_STREAMS_H
#define DMACAST_STREAMS_H

#include "lib/settings.h"
#include "lib/stats.h"
#include "stream/stream.h"
#include "stream/stream_names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct streams;

struct streams_callbacks {
	/* No stream is left. */
	void (*all_ended)(void *argument);
};

/**
 * streams_open() - open all streams; see stream_open().
 * @settings: copied
 * @callbacks: must outlive the streams; called with @argument
 *
 * Return: NULL after an error, which was logged.
 */
struct streams *streams_open(struct event_base *base, const struct stream_settings *settings,
			     size_t count, const struct streams_callbacks *callbacks,
			     void *argument);

/** streams_start() - start every one, now or when its `hold` clients are there. */
void streams_start(struct streams *streams);

/** streams_stop() - see stream_stop(). */
void streams_stop(struct streams *streams);

/** streams_kick_all() - reset every client that is left; see client_kick(). */
void streams_kick_all(struct streams *streams, enum leave_reason reason, const char *text);

/** streams_each() - call @each for every stream that has not ended, current ones first. */
void streams_each(const struct streams *streams,
		  void (*each)(void *argument, struct stream *stream), void *argument);

/** streams_each_name() - call @each for every name, in the order in which they came. */
void streams_each_name(const struct streams *streams,
		       void (*each)(void *argument, const struct name_report *report),
		       void *argument);

/** streams_each_current() - call @each for every stream that is current, and not about to end. */
void streams_each_current(struct streams *streams,
			  void (*each)(void *argument, struct stream *stream), void *argument);

/* The following are for reload.c. */

/** streams_find() - the current stream of that name, if it is not about to end; or NULL. */
struct stream *streams_find(const struct streams *streams, const char *name);

/** streams_is_finished() - has a stream of exactly these settings ended by itself? */
bool streams_is_finished(const struct streams *streams, const struct stream_settings *settings);

/** streams_forget_others() - which of those that are not in @settings have ended. */
void streams_forget_others(struct streams *streams, const struct stream_settings *settings,
			   size_t count);

/**
 * streams_prepare() - open a stream, without its endpoints, which is not current yet. If its device
 * is still that of another stream of ours, it is opened when that has ended.
 *
 * Return: NULL after an error, which was logged.
 */
struct stream *streams_prepare(struct streams *streams, const struct stream_settings *settings);

/** streams_discard() - close it, as if it had not been prepared. */
void streams_discard(struct streams *streams, struct stream *stream);

/** streams_begin() - it is current now, and starts when the others do. */
void streams_begin(struct streams *streams, struct stream *stream);

/** streams_retire() - a current stream ends; who is left after @drain_us is reset. */
void streams_retire(struct streams *streams, struct stream *stream, uint64_t drain_us);

/**
 * streams_close() - free everything, but streams that were started and have not ended: these have
 * sends that are not complete, and their blocks have to stay until the process ends.
 *
 * Return: false when there are such.
 */
bool streams_close(struct streams *streams);

#endif
