// SPDX-License-Identifier: BSD-2-Clause
#include "daemon.h"

#include "control.h"
#include "control_socket.h"
#include "log.h"
#include "metrics.h"
#include "streams.h"

#include <event2/event.h>
#include <inttypes.h>
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
	struct streams *streams;
	struct control *control; /* or NULL: not wanted */
	struct metrics *metrics; /* NULL: not asked for */
	enum daemon_state state;
	struct event *signal[2];
	struct event *drain_timer; /* draining: ends the patience; resetting: gives up */
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
	streams_kick_all(daemon->streams, LEAVE_STOPPING, reason);
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

static void stop(struct daemon *daemon, const char *why)
{
	uint64_t timeout = daemon->config->daemon.drain_timeout;
	const struct timeval drain_time = {
		.tv_sec = (time_t)(timeout / 1000000),
		.tv_usec = (suseconds_t)(timeout % 1000000),
	};

	log_notice("%s: stopping, clients have %" PRIu64 " ms to get the rest", why,
		   timeout / 1000);
	daemon->state = DAEMON_DRAINING;
	evtimer_add(daemon->drain_timer, &drain_time);
	streams_stop(daemon->streams);
}

static void signal_received(evutil_socket_t number, short what, void *argument)
{
	struct daemon *daemon = argument;

	(void)what;
	if (daemon->state == DAEMON_RUNNING) {
		stop(daemon, strsignal((int)number));
	} else if (daemon->state == DAEMON_DRAINING) {
		log_notice("%s again: resetting the clients that are left", strsignal((int)number));
		reset_clients(daemon, "stopping");
	}
}

static void all_streams_ended(void *argument)
{
	struct daemon *daemon = argument;

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
	return daemon->drain_timer != NULL;
}

static bool open_streams(struct daemon *daemon)
{
	const struct config *config = daemon->config;
	const struct streams_owner owner = { .argument = daemon, .all_ended = all_streams_ended };

	daemon->streams = streams_open(daemon->base, config->streams, config->stream_count, &owner);
	return daemon->streams != NULL;
}

static bool is_draining(void *argument)
{
	const struct daemon *daemon = argument;

	return daemon->state != DAEMON_RUNNING;
}

static void drain_wanted(void *argument)
{
	stop(argument, "drain");
}

static bool open_control(struct daemon *daemon)
{
	const struct control_owner owner = {
		.streams = daemon->streams,
		.argument = daemon,
		.is_draining = is_draining,
		.drain = drain_wanted,
	};
	char *path = control_socket_path(daemon->config->daemon.control);

	if (!path)
		return true;
	daemon->control = control_open(daemon->base, path, &owner);
	free(path);
	return daemon->control != NULL;
}

static bool open_metrics(struct daemon *daemon)
{
	const struct daemon_settings *settings = &daemon->config->daemon;

	if (!settings->metrics)
		return true;
	daemon->metrics = metrics_open(daemon->base, settings->metrics,
				       settings->metrics_per_client, daemon->streams);
	return daemon->metrics != NULL;
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
	if (!open_streams(daemon) || !open_control(daemon) || !open_metrics(daemon)) {
		daemon_close(daemon);
		return NULL;
	}
	return daemon;
}

int daemon_run(struct daemon *daemon)
{
	streams_start(daemon->streams);
	if (event_base_dispatch(daemon->base) < 0) {
		log_error("the event loop failed");
		return 1;
	}
	return 0;
}

void daemon_close(struct daemon *daemon)
{
	bool complete;

	if (daemon->control)
		control_close(daemon->control);
	if (daemon->metrics)
		metrics_close(daemon->metrics);
	complete = !daemon->streams || streams_close(daemon->streams);
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
