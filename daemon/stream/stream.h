/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream: one source, its ring, the window of blocks that clients still need, endpoints and clients.
 *
 *   WAITING ─ device opened ─▶ HOLDING ─ enough clients ─▶ RUNNING ─ on-demand: no client ─▶ IDLE
 *       │                          │                        │    ◀────── enough clients ─────── │
 *       └──────────────────────────┴────────────┬───────────┴───────────────────────────────────┘
 *                         source ends, device gone, stream_stop()
 *                                               ▼
 *                                             ENDING ─ no client, no command ─▶ ENDED
 *
 * IDLE is no end: endpoints, ring and totals stay, and each start of the source is a run with an epoch of its own.
 * A stream starts in HOLDING, or in WAITING if its device is missing. When a device is gone, its ring
 * must stay until the last send from it is complete. So the stream ends as on every other end, and a
 * successor takes its endpoints and waits for the device.
 */
#ifndef DMACAST_STREAM_H
#define DMACAST_STREAM_H

#include "lib/settings.h"
#include "lib/stats.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct names;
struct ring;
struct section;
struct state;
struct stream;
struct stream_watch;

struct stream_callbacks {
	/* The stream is ENDED. It may be freed, but not from within this call. */
	void (*ended)(void *argument, struct stream *stream);
	/* The device is gone. stream_open_successor() may be called from within this call only. */
	void (*device_lost)(void *argument, struct stream *stream);
	struct stream_watch *watch; /* gets the events of the stream; NULL: none. Must outlive it */
};

/* When a stream's device is opened. */
enum stream_device {
	STREAM_DEVICE_NOW,	  /* at once; if it is missing, `on-end` decides whether to wait */
	STREAM_DEVICE_WAITED_FOR, /* at once; if it is missing, wait as the stream before did */
	STREAM_DEVICE_HELD,	  /* when another stream has closed it: stream_retry_device() */
};

/**
 * stream_open() - open the device, and the source.
 * @settings: copied
 * @stats: totals of the name so far, which the stream adds to; must outlive it
 * @callbacks: must outlive the stream; called with @argument
 * @ring: of the settings, unless they have a device; belongs to the stream from now on, even after an error
 * @names: see source_open()
 *
 * Return: NULL after an error, which was logged.
 */
struct stream *stream_open(struct event_base *base, const struct stream_settings *settings,
			   struct stream_stats *stats, const struct stream_callbacks *callbacks,
			   void *argument, enum stream_device device, struct ring *ring,
			   const struct names *names);

/**
 * stream_find_section() - return the section with this name that was not removed; NULL if there is none.
 * @name: NULL: the stream's own endpoints, which every stream has
 */
struct section *stream_find_section(const struct stream *stream, const char *name);

/**
 * stream_add_section() - add a section without endpoints. stream_adapt() must follow with settings that
 * have @endpoint, or stream_drop_section().
 * @endpoint: must live until then; NULL: the stream's own endpoints
 *
 * Return: NULL without memory, which was logged.
 */
struct section *stream_add_section(struct stream *stream, const struct endpoint_settings *endpoint);

/** stream_drop_section() - remove a section that has no clients at once. */
void stream_drop_section(struct stream *stream, struct section *section);

/** stream_each_section() - call @each for each section, the stream's own endpoints first. */
void stream_each_section(struct stream *stream,
			 void (*each)(void *argument, struct section *section), void *argument);

/**
 * stream_open_successor() - open a stream that takes the place of one whose device is gone: it gets
 * the endpoints, waits for the device and counts into the same statistics.
 * @callbacks: must outlive the stream; called with @argument
 *
 * Return: NULL without memory; that is logged, and no stream takes the place.
 */
struct stream *stream_open_successor(struct stream *lost, const struct stream_callbacks *callbacks,
				     void *argument);

/**
 * stream_save() - save a stream with its ring, its source, its endpoints and its clients; see state.h. Nothing
 * changes but that full batches of blocks are given back to a device.
 */
void stream_save(struct stream *stream, struct state *state);

/**
 * stream_restore() - make the stream that stream_save() saved, in a process that follows. It continues where the other
 * one stopped: what was due is due now.
 * @stats, @callbacks, @argument: as of stream_open()
 *
 * Return: NULL after a failure of @state; then the connections of clients that were restored so far are reset.
 */
struct stream *stream_restore(struct event_base *base, struct stream_stats *stats,
			      const struct stream_callbacks *callbacks, void *argument,
			      struct state *state);

/**
 * stream_abandon() - free a stream of stream_restore(), whatever its state is, and reset its clients. Nothing else is
 * sent, and no callback is called.
 */
void stream_abandon(struct stream *stream);

/** stream_name() - return the name from the configuration. */
const char *stream_name(const struct stream *stream);

/** stream_is_same() - return true if both have the same name. */
bool stream_is_same(const struct stream *a, const struct stream *b);

/** stream_settings() - return the settings in effect. */
const struct stream_settings *stream_settings(const struct stream *stream);

/**
 * stream_adapt() - apply the settings that can change in a running stream; see stream_settings_adapt().
 * The caller opens and closes endpoints, but those of sections that are removed are closed here.
 * @drain_us: time for the clients of such a section to receive the rest, in microseconds
 */
void stream_adapt(struct stream *stream, struct stream_settings *wanted, uint64_t drain_us);

/**
 * stream_retry_device() - open a device that another stream held until now. Does nothing if the stream
 * already tries it at intervals.
 */
void stream_retry_device(struct stream *stream);

/** stream_has_command() - return true if the input is a command; it has ended when the stream has. */
bool stream_has_command(const struct stream *stream);

/** stream_has_ring() - return false while the stream waits for its device. */
bool stream_has_ring(const struct stream *stream);

/** stream_start() - start the source as soon as clients want it; see stream_demand.h. May be repeated. */
void stream_start(struct stream *stream);

/** stream_stop() - stop listening and reading; clients get the blocks that were read so far. */
void stream_stop(struct stream *stream);

/** stream_kill_command() - do not wait until the command of a stopped stream ends by itself. */
void stream_kill_command(struct stream *stream);

/**
 * stream_kick() - reset clients because the operator wants it.
 * @address: of the client, as the log shows it; NULL: all clients
 *
 * Return: the number of clients that were reset.
 */
uint64_t stream_kick(struct stream *stream, const char *address);

/** stream_kick_all() - reset the remaining clients; see client_kick(). */
void stream_kick_all(struct stream *stream, enum leave_reason reason, const char *text);

/** stream_clients() - return the number of clients, including those that are ending. */
uint64_t stream_clients(const struct stream *stream);

/** stream_bytes() - return the number of bytes that came from the source. */
uint64_t stream_bytes(const struct stream *stream);

/** stream_is_ending() - return true in ENDING and in ENDED. */
bool stream_is_ending(const struct stream *stream);

/** stream_has_ended() - return true in ENDED. */
bool stream_has_ended(const struct stream *stream);

/** stream_close() - free a stream that is ENDED or was never started. */
void stream_close(struct stream *stream);

#endif
