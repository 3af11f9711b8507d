/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The streams of the configuration, by name. One stream of each name is current. A former one (device
 * gone, or restarted) exists beside it until its clients have left.
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
struct names;
struct ring;
struct state;
struct stream_watch;
struct streams;

struct streams_callbacks {
	/* The last stream has ended. */
	void (*all_ended)(void *argument);
};

/**
 * streams_create() - start without streams; reload_streams() opens them.
 * @callbacks: must outlive the streams; called with @argument
 *
 * Return: NULL without memory.
 */
struct streams *streams_create(struct event_base *base, const struct streams_callbacks *callbacks,
			       void *argument);

/** streams_start() - start every stream; see stream_start(). */
void streams_start(struct streams *streams);

/**
 * streams_save() - save all streams after streams_start(), for a process that follows; see state.h. A stream that is
 * only prepared is a failure. Nothing changes but that full batches of blocks are given back to a device.
 */
void streams_save(struct streams *streams, struct state *state);

/**
 * streams_restore() - make the streams that streams_save() saved. They continue as if streams_start() was called.
 * @streams: without streams, not started
 *
 * Return: false after a failure of @state. Then the connections of clients that were restored so far are reset, and
 * @streams are as before.
 */
bool streams_restore(struct streams *streams, struct state *state);

/** streams_is_empty() - return true if there is no stream, not even one that is ending. */
bool streams_is_empty(const struct streams *streams);

/** streams_is_running() - return true after streams_start(). */
bool streams_is_running(const struct streams *streams);

/** streams_stop() - stop every stream; see stream_stop(). */
void streams_stop(struct streams *streams);

/**
 * streams_drain() - stop one stream, and reset its remaining clients after @drain_us. A reload does not
 * start it again unless its settings change.
 * @drain_us: time in microseconds
 * @replace: also replace the time that a stream which was stopped before has left
 */
void streams_drain(struct streams *streams, struct stream *stream, uint64_t drain_us, bool replace);

/** streams_kick_all() - reset the remaining clients of all streams; see client_kick(). */
void streams_kick_all(struct streams *streams, enum leave_reason reason, const char *text);

/** streams_kill_commands() - see stream_kill_command(). */
void streams_kill_commands(struct streams *streams);

/** streams_clients() - return the number of clients of all streams, including those that are ending. */
uint64_t streams_clients(const struct streams *streams);

/** streams_count() - return the number of streams that have not ended. */
uint64_t streams_count(const struct streams *streams);

/** streams_each() - call @each for every stream that has not ended, current ones first. */
void streams_each(const struct streams *streams,
		  void (*each)(void *argument, struct stream *stream), void *argument);

/** streams_each_name() - call @each for every name, in the order in which the names appeared. */
void streams_each_name(const struct streams *streams,
		       void (*each)(void *argument, const struct name_report *report),
		       void *argument);

/** streams_watch() - return where the events of all streams, and of the daemon, are reported. */
struct stream_watch *streams_watch(struct streams *streams);

/** streams_each_current() - call @each for every current stream that is not ending. */
void streams_each_current(struct streams *streams,
			  void (*each)(void *argument, struct stream *stream), void *argument);

/* The following functions are for reload.c. */

/**
 * streams_reserve_timers() - allocate libevent's memory for the timers of the present streams and of @more
 * ones, so that starting and retiring these cannot fail for it. Return: false without memory, which was logged.
 */
bool streams_reserve_timers(struct streams *streams, size_t more);

/** streams_find() - return the current stream of that name; NULL if there is none or it is ending. */
struct stream *streams_find(const struct streams *streams, const char *name);

/** streams_is_finished() - return true if a stream of exactly these settings ended by itself. */
bool streams_is_finished(const struct streams *streams, const struct stream_settings *settings);

/** streams_forget_others() - forget names that are not in @settings and have no stream left. */
void streams_forget_others(struct streams *streams, const struct stream_settings *settings,
			   size_t count);

/**
 * streams_prepare() - open a stream without endpoints that is not current yet. If another stream of the
 * daemon still has its device, the device is opened when that stream has ended.
 * @ring, @names: see stream_open()
 *
 * Return: NULL after an error, which was logged.
 */
struct stream *streams_prepare(struct streams *streams, const struct stream_settings *settings,
			       struct ring *ring, const struct names *names);

/** streams_discard() - close a prepared stream. */
void streams_discard(struct streams *streams, struct stream *stream);

/** streams_begin() - make a prepared stream current. It starts when the others do. */
void streams_begin(struct streams *streams, struct stream *stream);

/** streams_retire() - stop a current stream, and reset its remaining clients after @drain_us. */
void streams_retire(struct streams *streams, struct stream *stream, uint64_t drain_us);

/**
 * streams_close() - free everything except streams that were started and have not ended: their sends
 * are incomplete, and the blocks must stay until the process ends.
 *
 * Return: false if there are such streams.
 */
bool streams_close(struct streams *streams);

#endif
