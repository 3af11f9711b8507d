// SPDX-License-Identifier: BSD-2-Clause
#include "daemon.h"

#include "log.h"
#include "stream.h"

#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* After the reset of the last clients: so long for their completions, then exit all the same. */
static const struct timeval give_up_time = { .tv_sec = 10 };

enum daemon_state { DAEMON_RUNNING, DAEMON_DRAINING, DAEMON_RESETTING };

struct daemon {
	const struct config *config;
	struct event_base *base;
	struct stream **stream; /* NULL: ended and closed */
	size_t opened;		/* of the array, as far as it is used */
	size_t capacity;	/* of the array */
	size_t open;		/* that are not closed yet */
	bool running;		/* clients may be there */
	enum daemon_state state;
	struct stream_owner stream_owner;
	struct event *signal[2];
	struct event *drain_timer; /* draining: ends the patience; resetting: gives up */
	struct event *sweep;	   /* closes streams that have ended, and ends the loop */
};

static void log_from_libevent(int severity, const char *text)
{
	if (severity == EVENT_LOG_DEBUG)
		return;
	log_message(severity == EVENT_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "libevent: %s",
		    text);
}

static void reset_clients(struct daemon *daemon, const char *reason)
{
	daemon->state = DAEMON_RESETTING;
	evtimer_add(daemon->drain_timer, &give_up_time);
	for (size_t i = 0; i < daemon->opened; i++) {
		if (daemon->stream[i])
			stream_kick_all(daemon->stream[i], reason);
	}
}

static void drain_timer_expired(evutil_socket_t fd, short what, void *argument)
{
	struct daemon *daemon = argument;

	(void)fd;
	(void)what;
	if (daemon->state == DAEMON_DRAINING) {
		log_notice("drain-timeout is over, resetting the clients that are left");
		reset_clients(daemon, "drain-timeout is over");
		return;
	}
	log_warning("stopping though sends are not complete; the kernel still has their blocks");
	event_base_loopbreak(daemon->base);
}

static void stop(struct daemon *daemon)
{
	uint64_t timeout = daemon->config->daemon.drain_timeout;
	const struct timeval drain_time = {
		.tv_sec = (time_t)(timeout / 1000000),
		.tv_usec = (suseconds_t)(timeout % 1000000),
	};

	daemon->state = DAEMON_DRAINING;
	evtimer_add(daemon->drain_timer, &drain_time);
	for (size_t i = 0; i < daemon->opened; i++) {
		if (daemon->stream[i])
			stream_stop(daemon->stream[i]);
	}
}

static void signal_received(evutil_socket_t number, short what, void *argument)
{
	struct daemon *daemon = argument;

	(void)what;
	if (daemon->state == DAEMON_RUNNING) {
		log_notice("%s: stopping, clients have %llu ms to get the rest",
			   strsignal((int)number),
			   (unsigned long long)daemon->config->daemon.drain_timeout / 1000);
		stop(daemon);
	} else if (daemon->state == DAEMON_DRAINING) {
		log_notice("%s again: resetting the clients that are left", strsignal((int)number));
		reset_clients(daemon, "stopping");
	}
}

/* In the stream: only note it, and close the stream from the event loop. */
static void stream_ended(void *argument, struct stream *stream)
{
	struct daemon *daemon = argument;

	(void)stream;
	event_active(daemon->sweep, EV_TIMEOUT, 0);
}

/* Make room in the array for one more stream. Return: its place, or NULL without memory. */
static struct stream **place_for_stream(struct daemon *daemon)
{
	struct stream **streams;

	for (size_t i = 0; i < daemon->opened; i++) {
		if (!daemon->stream[i])
			return &daemon->stream[i];
	}
	if (daemon->opened == daemon->capacity) {
		streams = reallocarray(daemon->stream, daemon->capacity + 1, sizeof(*streams));
		if (!streams)
			return NULL;
		daemon->stream = streams;
		daemon->capacity++;
	}
	daemon->stream[daemon->opened] = NULL;
	return &daemon->stream[daemon->opened++];
}

/* A device is gone: its stream has a successor, at the most one in addition to it. */
static void stream_lost(void *argument, struct stream *lost)
{
	struct daemon *daemon = argument;
	struct stream **place;

	for (size_t i = 0; i < daemon->opened; i++) {
		struct stream *other = daemon->stream[i];

		if (other && other != lost && stream_is_same(other, lost))
			stream_kick_all(other, "device gone again");
	}
	place = place_for_stream(daemon);
	if (!place) {
		log_error("no memory for one more stream");
		return;
	}
	*place = stream_succeed(lost);
	daemon->open += *place != NULL;
}

static void sweep(evutil_socket_t fd, short what, void *argument)
{
	struct daemon *daemon = argument;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < daemon->opened; i++) {
		if (!daemon->stream[i] || !stream_has_ended(daemon->stream[i]))
			continue;
		stream_close(daemon->stream[i]);
		daemon->stream[i] = NULL;
		daemon->open--;
	}
	if (!daemon->open)
		event_base_loopexit(daemon->base, NULL);
}

static bool open_base(struct daemon *daemon)
{
	struct event_config *config = event_config_new();

	if (!config)
		return false;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1);
	daemon->base = event_base_new_with_config(config);
	event_config_free(config);
	return daemon->base != NULL;
}

static bool open_events(struct daemon *daemon)
{
	static const int number[] = { SIGTERM, SIGINT };

	if (!open_base(daemon))
		return false;
	for (size_t i = 0; i < 2; i++) {
		daemon->signal[i] = evsignal_new(daemon->base, number[i], signal_received, daemon);
		if (!daemon->signal[i] || event_add(daemon->signal[i], NULL))
			return false;
	}
	daemon->drain_timer = evtimer_new(daemon->base, drain_timer_expired, daemon);
	daemon->sweep = evtimer_new(daemon->base, sweep, daemon);
	return daemon->drain_timer && daemon->sweep;
}

static bool open_streams(struct daemon *daemon)
{
	const struct config *config = daemon->config;

	daemon->stream_owner = (struct stream_owner){
		.argument = daemon,
		.ended = stream_ended,
		.lost = stream_lost,
	};
	for (size_t i = 0; i < config->stream_count; i++) {
		struct stream **place = place_for_stream(daemon);

		if (!place) {
			log_error("no memory for the streams");
			return false;
		}
		*place = stream_open(daemon->base, &config->streams[i], &daemon->stream_owner);
		if (!*place) {
			daemon->opened--;
			return false;
		}
		daemon->open++;
	}
	return true;
}

struct daemon *daemon_open(const struct config *config)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));

	event_set_log_callback(log_from_libevent);
	signal(SIGPIPE, SIG_IGN);
	if (!daemon || (daemon->config = config, !open_events(daemon))) {
		log_error("cannot set up the event loop");
		if (daemon)
			daemon_close(daemon);
		return NULL;
	}
	if (!open_streams(daemon)) {
		daemon_close(daemon);
		return NULL;
	}
	return daemon;
}

int daemon_run(struct daemon *daemon)
{
	daemon->running = true;
	for (size_t i = 0; i < daemon->opened; i++)
		stream_start(daemon->stream[i]);
	if (event_base_dispatch(daemon->base) < 0) {
		log_error("the event loop failed");
		return 1;
	}
	return 0;
}

void daemon_close(struct daemon *daemon)
{
	/* A stream that has not ended has sends that are not complete: their blocks have to stay. */
	bool complete = !daemon->running || !daemon->open;

	for (size_t i = daemon->opened; !daemon->running && i-- > 0;)
		stream_close(daemon->stream[i]);
	free(daemon->stream);
	if (daemon->sweep)
		event_free(daemon->sweep);
	if (daemon->drain_timer)
		event_free(daemon->drain_timer);
	for (size_t i = 0; i < 2; i++) {
		if (daemon->signal[i])
			event_free(daemon->signal[i]);
	}
	if (daemon->base && complete)
		event_base_free(daemon->base);
	free(daemon);
}
