// SPDX-License-Identifier: BSD-2-Clause
#include "host/heartbeat.h"

#include "lib/clock.h"
#include "lib/priority.h"
#include "lib/service.h"
#include "lib/units.h"
#include "stream/stream.h"
#include "stream/streams.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Interval between status checks; a changed status is sent. */
static const struct timeval status_interval = { .tv_sec = 5 };

/* Time in microseconds that each status check asks for while stopping. */
#define EXTENSION_US 30000000U

struct heartbeat {
	struct streams *streams;
	bool stopping;
	struct event watchdog, status;
	uint64_t bytes;	      /* all streams together, at the last check */
	uint64_t measured_ns; /* time of that check */
	char sent_status[256];
};

/* Totals over all streams. */
struct stream_sum {
	unsigned int streams, waiting;
	uint64_t clients, bytes;
};

static void heartbeat_add_stream(void *argument, struct stream *stream)
{
	struct stream_sum *sum = argument;

	if (!stream_is_ending(stream)) {
		sum->streams++;
		sum->waiting += !stream_has_ring(stream);
	}
	sum->clients += stream_clients(stream);
	sum->bytes += stream_bytes(stream);
}

/* Return the bytes a second since the last check, without those of streams that have ended since. */
static uint64_t measure_rate(struct heartbeat *heartbeat, uint64_t bytes)
{
	uint64_t now = clock_monotonic_ns(), elapsed_ms = (now - heartbeat->measured_ns) / 1000000;
	uint64_t more = bytes > heartbeat->bytes ? bytes - heartbeat->bytes : 0;

	heartbeat->bytes = bytes;
	heartbeat->measured_ns = now;
	return elapsed_ms ? more * 1000 / elapsed_ms : 0;
}

static const char *plural(uint64_t number)
{
	return number == 1 ? "" : "s";
}

static void describe_status(struct heartbeat *heartbeat, char *text, size_t size)
{
	struct stream_sum sum = { 0 };
	char rate[UNITS_TEXT], waiting[64] = "";

	streams_each(heartbeat->streams, heartbeat_add_stream, &sum);
	units_format_about(measure_rate(heartbeat, sum.bytes), rate);
	if (sum.waiting)
		snprintf(waiting, sizeof(waiting), " (%u waiting for a device)", sum.waiting);
	if (heartbeat->stopping)
		snprintf(text, size, "stopping: %" PRIu64 " client%s to receive the rest",
			 sum.clients, plural(sum.clients));
	else
		snprintf(text, size, "%u stream%s%s, %" PRIu64 " client%s, %s/s", sum.streams,
			 plural(sum.streams), waiting, sum.clients, plural(sum.clients), rate);
}

static void send_status(struct heartbeat *heartbeat)
{
	char text[sizeof(heartbeat->sent_status)];

	describe_status(heartbeat, text, sizeof(text));
	if (!strcmp(text, heartbeat->sent_status))
		return;
	strcpy(heartbeat->sent_status, text);
	service_tell("STATUS=%s", text);
}

static void status_due(evutil_socket_t fd, short what, void *argument)
{
	struct heartbeat *heartbeat = argument;

	(void)fd;
	(void)what;
	send_status(heartbeat);
	if (heartbeat->stopping)
		service_tell("EXTEND_TIMEOUT_USEC=%u", EXTENSION_US);
}

static void watchdog_due(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	(void)argument;
	service_tell("WATCHDOG=1");
}

struct heartbeat *heartbeat_start(struct event_base *base, struct streams *streams)
{
	struct heartbeat *heartbeat = calloc(1, sizeof(*heartbeat));
	uint64_t half = service_watchdog_us() / 2;
	const struct timeval watchdog_time = clock_timeval(half);

	if (!heartbeat)
		return NULL;
	heartbeat->streams = streams;
	heartbeat->measured_ns = clock_monotonic_ns();
	event_assign(&heartbeat->watchdog, base, -1, EV_PERSIST, watchdog_due, heartbeat);
	event_assign(&heartbeat->status, base, -1, EV_PERSIST, status_due, heartbeat);
	event_priority_set(&heartbeat->watchdog, PRIORITY_OPERATOR);
	event_priority_set(&heartbeat->status, PRIORITY_OPERATOR);
	if (!service_is_there())
		return heartbeat;
	if ((half && event_add(&heartbeat->watchdog, &watchdog_time)) ||
	    event_add(&heartbeat->status, &status_interval)) {
		heartbeat_free(heartbeat);
		return NULL;
	}
	send_status(heartbeat);
	service_tell("READY=1");
	return heartbeat;
}

void heartbeat_ready(struct heartbeat *heartbeat)
{
	/* Opening rings may have taken a while. */
	if (service_watchdog_us())
		service_tell("WATCHDOG=1");
	if (service_is_there())
		send_status(heartbeat);
	service_tell("READY=1");
}

void heartbeat_stopping(struct heartbeat *heartbeat)
{
	heartbeat->stopping = true;
	service_tell("STOPPING=1\nEXTEND_TIMEOUT_USEC=%u", EXTENSION_US);
	if (service_is_there())
		send_status(heartbeat);
}

void heartbeat_free(struct heartbeat *heartbeat)
{
	event_del(&heartbeat->watchdog);
	event_del(&heartbeat->status);
	free(heartbeat);
}
