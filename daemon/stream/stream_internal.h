/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The members of a stream, for stream.c, which owns them, stream_report.c, which reads them, and stream_handover.c,
 * which saves and restores them.
 */
#ifndef DMACAST_STREAM_INTERNAL_H
#define DMACAST_STREAM_INTERNAL_H

#include "lib/backoff.h"
#include "ring/ring_device.h"
#include "stream/client.h"
#include "stream/section.h"
#include "stream/stream.h"
#include "stream/stream_demand.h"
#include "stream/stream_events.h"
#include "stream/stream_frames.h"
#include "stream/stream_history.h"
#include "stream/stream_input.h"
#include "stream/stream_journal.h"
#include "stream/stream_lag.h"
#include "stream/stream_memory.h"
#include "stream/stream_preamble.h"
#include "stream/stream_queue.h"

#include <stdbool.h>
#include <stdint.h>

struct event;
struct path_watch;
struct source;
struct source_callbacks;
struct window;

enum stream_state {
	STREAM_WAITING,
	STREAM_HOLDING,
	STREAM_IDLE,
	STREAM_RUNNING,
	STREAM_ENDING,
	STREAM_ENDED,
};

struct stream {
	struct event_base *base;
	struct stream_settings *settings;
	struct stream_stats *stats; /* totals of the name */
	const struct stream_callbacks *callbacks;
	void *argument; /* of the callbacks */
	enum stream_state state;
	bool started; /* stream_start() was called; the device or the clients may delay the source */

	/* NULL while the stream waits for its device. */
	struct ring *ring;
	struct source *source;
	bool is_successor;   /* of one whose device was lost */
	struct event *retry; /* next attempt to open the device */
	struct backoff backoff;
	struct path_watch *device_watch;      /* of the device while it is missing, or NULL */
	bool watch_failed;		      /* and was logged */
	uint64_t appeared_ns;		      /* last event of device_watch */
	char device_error[RING_DEVICE_WRONG]; /* at the last attempt */
	char logged_error[RING_DEVICE_WRONG]; /* logged last */
	uint64_t opened_ns;

	struct window *window;
	struct stream_lag lag;
	struct stream_memory memory;
	struct stream_frames frames;
	struct stream_preamble preamble;
	struct stream_input input;
	struct stream_history history;

	struct section_list sections; /* the first one: the stream's own endpoints */
	struct event section_timer;   /* resets the clients of removed ones */
	struct stream_journal journal;
	struct stream_events events;

	uint64_t clients; /* of all sections */
	uint64_t budget_bytes;
	struct stream_demand demand;
	struct log_limit start_log, pause_log; /* of `on-demand` */
	struct log_limit missed_log;	       /* of a relay */
	/* Clients with a known copy state, and those of them that the kernel copies for. */
	uint64_t known_clients, copied_clients;
	struct client_list dead;
	struct stream_queue queue;
	uint64_t round_bytes;	/* bytes that came from the source during this round of the queue */
	struct event *deferred; /* handles both in the next iteration of the event loop */
};

extern const struct source_callbacks stream_source_callbacks;

/**
 * stream_create() - create a stream without sections, ring and source.
 * @settings: taken over, also on failure
 *
 * Return: NULL without memory, which was logged.
 */
struct stream *stream_create(struct event_base *base, struct stream_settings *settings,
			     struct stream_stats *stats, const struct stream_callbacks *callbacks,
			     void *argument);

/** stream_awaits_retry() - return true if the next attempt to open the device is due some time. */
bool stream_awaits_retry(const struct stream *stream);

/**
 * stream_resume() - let a stream go on whose members were restored, in the next iterations of the event loop.
 * @active: clients that get blocks
 * @retries: what stream_awaits_retry() returned
 */
void stream_resume(struct stream *stream, uint64_t active, bool retries);

#endif
