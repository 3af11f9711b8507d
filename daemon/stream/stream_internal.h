/* SPDX-License-Identifier: BSD-2-Clause */
/* A stream from within: for stream.c, which owns it, and for stream_report.c, which reads it. */
#ifndef DMACAST_STREAM_INTERNAL_H
#define DMACAST_STREAM_INTERNAL_H

#include "lib/backoff.h"
#include "ring/ring_device.h"
#include "stream/client.h"
#include "stream/endpoints.h"
#include "stream/stream.h"
#include "stream/stream_admission.h"
#include "stream/stream_lag.h"

#include <stdbool.h>
#include <stdint.h>

struct event;
struct source;
struct window;

enum stream_state { STREAM_WAITING, STREAM_HOLDING, STREAM_RUNNING, STREAM_ENDING, STREAM_ENDED };

struct stream {
	struct event_base *base;
	struct stream_settings *settings;
	struct stream_stats *stats; /* of all streams of this name, so far */
	const struct stream_callbacks *callbacks;
	void *argument; /* of the callbacks */
	enum stream_state state;
	bool started; /* or would be, were it not for the device or for `hold` */

	/* Those of a device are not there while it is waited for. */
	struct ring *ring;
	struct source *source;
	struct event *retry; /* to open the device */
	struct backoff backoff;
	char device_error[RING_DEVICE_WRONG]; /* with it, the last time */
	uint64_t opened_ns;

	struct window *window;
	struct stream_lag lag;

	struct endpoints endpoints;
	struct stream_admission admission;

	struct client_owner client_owner;
	struct client_list clients; /* every one that is not GONE */
	uint64_t client_count;
	struct zerocopy_verdicts verdicts; /* of the clients */
	struct client_list dead;
	struct client_list again; /* by again_entry: had their turn, have more to send */
	struct event *deferred;	  /* for both lists above, at the next turn of the event loop */
};

#endif
