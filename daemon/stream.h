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

#include "settings.h"

#include <stdbool.h>

struct event_base;
struct stream;

struct stream_owner {
	void *argument;
	/* The stream is ENDED. It may be freed, but not from within this call. */
	void (*ended)(void *argument, struct stream *stream);
	/* The device is gone; now is the time for stream_succeed(). */
	void (*lost)(void *argument, struct stream *stream);
};

/**
 * stream_open() - get everything that can fail: ring, source, endpoints. Clients are accepted from
 * the event loop's next turn on.
 * @settings: are copied
 *
 * Return: NULL after an error, which was logged.
 */
struct stream *stream_open(struct event_base *base, const struct stream_settings *settings,
			   const struct stream_owner *owner);

/**
 * stream_succeed() - a stream in the place of one whose device is gone: it has the endpoints, and
 * waits for the device to come back.
 *
 * Return: NULL without memory; that is logged, and the stream ends for good.
 */
struct stream *stream_succeed(struct stream *lost, const struct stream_owner *owner);

/** stream_is_same() - have both the same name? */
bool stream_is_same(const struct stream *a, const struct stream *b);

/** stream_start() - start the source, now or when `hold` clients are there. */
void stream_start(struct stream *stream);

/** stream_stop() - no new clients, no more input; those who are here get what was read so far. */
void stream_stop(struct stream *stream);

/** stream_kick_all() - reset every client that is left. */
void stream_kick_all(struct stream *stream, const char *reason);

/** stream_has_ended() - is it ENDED? */
bool stream_has_ended(const struct stream *stream);

/** stream_close() - free a stream that is ENDED, or was never started. */
void stream_close(struct stream *stream);

#endif
