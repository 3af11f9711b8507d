/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream: one source, its ring, the window of blocks on their way, the endpoints, the clients.
 *
 *   WAITING ─ device opened ─▶ HOLDING ─ enough clients ─▶ RUNNING
 *       └──────────────────────────┴────────────┬────────────┘
 *                         source ends, device gone, stream_stop()
 *                                               ▼
 *                                             ENDING ─ no client ─▶ ENDED
 *
 * Streams begin at HOLDING, except where a device is waited for. When a device is gone, its ring has
 * to stay until everyone who is sent from it is done. So the stream ends like any other, and a
 * successor takes its endpoints and waits for the device.
 */
#ifndef DMACAST_STREAM_H
#define DMACAST_STREAM_H

#include "lib/settings.h"
#include "lib/stats.h"

#include <stdbool.h>
#include <stdint.h>

struct endpoints;
struct event_base;
struct stream;

struct stream_callbacks {
	/* The stream is ENDED. It may be freed, but not from within this call. */
	void (*ended)(void *argument, struct stream *stream);
	/* The device is gone. stream_open_successor() may be called from within this call only. */
	void (*device_lost)(void *argument, struct stream *stream);
};

/* How a stream's device is opened. */
enum stream_device {
	STREAM_DEVICE_NOW,	  /* it has to be there, but where `on-end` says to wait for it */
	STREAM_DEVICE_WAITED_FOR, /* it may be missing, as before */
	STREAM_DEVICE_HELD,	  /* it is another stream's still: with stream_retry_device() */
};

/**
 * stream_open() - open ring and source.
 * @settings: copied
 * @stats: totals of the name so far, which the stream adds to; must outlive it
 * @callbacks: must outlive the stream; called with @argument
 *
 * Return: NULL after an error, which was logged.
 */
struct stream *stream_open(struct event_base *base, const struct stream_settings *settings,
			   struct stream_stats *stats, const struct stream_callbacks *callbacks,
			   void *argument, enum stream_device device);

/**
 * stream_listen() - open every endpoint of the settings. Clients are accepted from the event loop's
 * next turn on.
 *
 * Return: false after an error, which was logged.
 */
bool stream_listen(struct stream *stream);

/** stream_endpoints() - to hand them over, or to add some. */
struct endpoints *stream_endpoints(struct stream *stream);

/**
 * stream_open_successor() - open a stream that takes the place of one whose device is gone: it gets
 * the endpoints, waits for the device and counts into the same statistics.
 * @callbacks: must outlive the stream; called with @argument
 *
 * Return: NULL without memory; that is logged, and no stream takes the place.
 */
struct stream *stream_open_successor(struct stream *lost, const struct stream_callbacks *callbacks,
				     void *argument);

/** stream_name() - as in the configuration. */
const char *stream_name(const struct stream *stream);

/** stream_is_same() - have both the same name? */
bool stream_is_same(const struct stream *a, const struct stream *b);

/** stream_settings() - those in effect. */
const struct stream_settings *stream_settings(const struct stream *stream);

/**
 * stream_adapt() - take over what may change in a running stream; what needs a new start is ignored.
 * Endpoints are the matter of the caller.
 */
void stream_adapt(struct stream *stream, const struct stream_settings *settings);

/**
 * stream_retry_device() - open a device that another stream held until now. Does nothing if the stream
 * already tries it at intervals.
 */
void stream_retry_device(struct stream *stream);

/** stream_has_command() - is its input one, which runs until the stream is closed? */
bool stream_has_command(const struct stream *stream);

/** stream_has_ring() - does it have its device, or memory? If not, it waits for the device. */
bool stream_has_ring(const struct stream *stream);

/** stream_start() - start the source, now or when `hold` clients are there. May be repeated. */
void stream_start(struct stream *stream);

/** stream_stop() - no new clients, no more input; those who are here get what was read so far. */
void stream_stop(struct stream *stream);

/**
 * stream_kick() - reset the client at @address, as the log shows it, or with NULL every one: the
 * operator wants it.
 *
 * Return: how many there were.
 */
uint64_t stream_kick(struct stream *stream, const char *address);

/** stream_kick_all() - reset every client that is left; see client_kick(). */
void stream_kick_all(struct stream *stream, enum leave_reason reason, const char *text);

/** stream_clients() - how many there are, those included who are on their way out. */
uint64_t stream_clients(const struct stream *stream);

/** stream_bytes() - so many came from the source. */
uint64_t stream_bytes(const struct stream *stream);

/** stream_is_ending() - is it ENDING or ENDED? */
bool stream_is_ending(const struct stream *stream);

/** stream_has_ended() - is it ENDED? */
bool stream_has_ended(const struct stream *stream);

/** stream_close() - free a stream that is ENDED, or was never started. */
void stream_close(struct stream *stream);

#endif
