// SPDX-License-Identifier: BSD-2-Clause
#include "daemon.h"

#include "config/arguments.h"
#include "config/option_table.h"
#include "control/control.h"
#include "host/heartbeat.h"
#include "host/limits.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop_time.h"
#include "lib/priority.h"
#include "lib/service.h"
#include "observe/metrics.h"
#include "stream/reload.h"
#include "stream/streams.h"

#include <bsd/string.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Time for the completions of clients after their reset; then the daemon exits without them. */
static const struct timeval completion_time = { .tv_sec = 10 };

enum daemon_state { DAEMON_RUNNING, DAEMON_DRAINING, DAEMON_RESETTING };

struct daemon {
	struct config *config;
	int argc;
	char **argv;
	struct event_base *base;
	struct streams *streams;
	struct control *control; /* NULL if not configured */
	struct metrics *metrics; /* NULL if not configured */
	enum daemon_state state;
	struct event *signal[2], *hangup;
	struct heartbeat *heartbeat;
	struct event *drain_timer; /* end of DAEMON_DRAINING or DAEMON_RESETTING */
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
	if (evtimer_add(daemon->drain_timer, &completion_time)) {
		log_error("no memory for a timer; stopping at once");
		event_base_loopbreak(daemon->base);
	}
	streams_kick_all(daemon->streams, LEAVE_STOPPING, reason);
}

static void daemon_drain_timer_expired(evutil_socket_t fd, short what, void *argument)
{
	struct daemon *daemon = argument;

	(void)fd;
	(void)what;
	if (daemon->state == DAEMON_DRAINING) {
		if (streams_clients(daemon->streams))
			log_notice("drain-timeout is over; resetting the remaining clients");
		reset_clients(daemon, "drain-timeout is over");
		return;
	}
	/* What is left are commands, for which stop-timeout is the limit. */
	if (!streams_clients(daemon->streams) &&
	    !evtimer_add(daemon->drain_timer, &completion_time))
		return;
	log_warning("stopping with incomplete sends; the kernel still uses their blocks");
	event_base_loopbreak(daemon->base);
}

static void begin_draining(struct daemon *daemon, const char *why, uint64_t drain_us)
{
	const struct timeval drain_time = clock_timeval(drain_us);

	log_notice("%s: stopping; clients have %" PRIu64 " ms to receive the rest", why,
		   drain_us / 1000);
	daemon->state = DAEMON_DRAINING;
	heartbeat_stopping(daemon->heartbeat);
	streams_stop(daemon->streams);
	if (evtimer_add(daemon->drain_timer, &drain_time)) {
		log_error("no memory for a timer; resetting the clients");
		reset_clients(daemon, "stopping");
	}
}

static void signal_received(evutil_socket_t number, short what, void *argument)
{
	struct daemon *daemon = argument;

	(void)what;
	if (daemon->state == DAEMON_RUNNING) {
		begin_draining(daemon, strsignal((int)number),
			       daemon->config->daemon.drain_timeout);
		return;
	}
	if (daemon->state == DAEMON_DRAINING) {
		log_notice("%s again: resetting the remaining clients", strsignal((int)number));
		reset_clients(daemon, "stopping");
	}
	streams_kill_commands(daemon->streams);
}

/* ---- reading the configuration again ---- */

static void warn_if_socket_unused(void *argument, const char *name)
{
	const struct config *config = argument;
	char text[256 + sizeof("systemd:")];

	snprintf(text, sizeof(text), "systemd:%s", name);
	for (size_t i = 0; i < config->stream_count; i++) {
		const struct text_list *listen = &config->streams[i].listen;

		for (size_t j = 0; j < listen->count; j++) {
			if (!strcmp(listen->item[j], text))
				return;
		}
	}
	log_warning("socket %s was passed by systemd but no stream uses it, so its clients would "
		    "wait forever; add listen = %s or stop the socket unit",
		    text, text);
}

/* Name the changed options that take effect only when the process starts. */
static void warn_restart_options(const struct daemon *daemon, const struct config *config)
{
	char names[OPTION_NAMES_TEXT];

	if (option_changes(OPTION_DAEMON, OPTION_EFFECT(OPTION_AT_START), &daemon->config->daemon,
			   &config->daemon, names))
		log_warning("%s changed; restart dmacastd for this to take effect", names);
}

static bool apply_config(struct daemon *daemon, struct config *config)
{
	if (!limits_report(&config->daemon, config->streams, config->stream_count) ||
	    !reload_streams(daemon->streams, config->streams, config->stream_count,
			    config->daemon.drain_timeout))
		return false;
	warn_restart_options(daemon, config);
	config_renew(daemon->config, config);
	log_set_level(daemon->config->log_level);
	service_sockets_each(warn_if_socket_unused, daemon->config);
	return true;
}

static bool reread_config(struct daemon *daemon)
{
	struct config config;
	bool done;

	if (!daemon->config->file) {
		log_warning("nothing to reload: dmacastd was started without a configuration file "
			    "(-c FILE)");
		return false;
	}
	log_notice("reading %s again", daemon->config->file);
	config_init(&config);
	done = arguments_parse(daemon->argc, daemon->argv, &config) == ARGUMENTS_RUN &&
	       apply_config(daemon, &config);
	if (!done)
		log_error("%s was not applied; the previous configuration stays in effect",
			  daemon->config->file);
	config_free(&config);
	return done;
}

bool daemon_reload(struct daemon *daemon, char *text, size_t size)
{
	bool done;

	text[0] = '\0';
	if (daemon->state != DAEMON_RUNNING) {
		strlcpy(text, "not reloading: dmacastd is stopping", size);
		log_notice("%s", text);
		return false;
	}
	service_tell_reloading();
	log_collect(text, size);
	done = reread_config(daemon);
	log_collect(NULL, 0);
	heartbeat_ready(daemon->heartbeat);
	return done;
}

static void hangup_received(evutil_socket_t number, short what, void *argument)
{
	char text[1024];

	(void)number;
	(void)what;
	daemon_reload(argument, text, sizeof(text));
}

/* ---- start and stop ---- */

static void all_streams_ended(void *argument)
{
	struct daemon *daemon = argument;

	/* loopexit() lets the other events of this iteration run, but needs memory. */
	if (event_base_loopexit(daemon->base, NULL))
		event_base_loopbreak(daemon->base);
}

static bool open_base(struct daemon *daemon)
{
	static const struct timeval interval = { .tv_usec = MAX_DISPATCH_US };
	struct event_config *config = event_config_new();

	if (!config)
		return false;
	/* Without this a queue of thousands of client events runs to its end before the loop polls again. */
	event_config_set_max_dispatch_interval(config, &interval, -1, PRIORITY_STREAMS);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	/* The default clock has the resolution of the kernel's tick, 4 ms: too coarse to flush or pace blocks. */
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1);
	daemon->base = event_base_new_with_config(config);
	event_config_free(config);
	return daemon->base && !event_base_priority_init(daemon->base, PRIORITIES);
}

static bool open_signal(struct event *event)
{
	return event && !event_priority_set(event, PRIORITY_OPERATOR) && !event_add(event, NULL);
}

static bool open_events(struct daemon *daemon)
{
	static const int number[] = { SIGTERM, SIGINT };

	if (!open_base(daemon))
		return false;
	for (size_t i = 0; i < 2; i++) {
		daemon->signal[i] = evsignal_new(daemon->base, number[i], signal_received, daemon);
		if (!open_signal(daemon->signal[i]))
			return false;
	}
	daemon->hangup = evsignal_new(daemon->base, SIGHUP, hangup_received, daemon);
	if (!open_signal(daemon->hangup))
		return false;
	daemon->drain_timer = evtimer_new(daemon->base, daemon_drain_timer_expired, daemon);
	return daemon->drain_timer && !event_priority_set(daemon->drain_timer, PRIORITY_OPERATOR);
}

static bool open_streams(struct daemon *daemon)
{
	const struct config *config = daemon->config;
	static const struct streams_callbacks callbacks = { .all_ended = all_streams_ended };

	daemon->streams = streams_open(daemon->base, config->streams, config->stream_count,
				       &callbacks, daemon);
	return daemon->streams != NULL;
}

static bool daemon_is_draining(void *argument)
{
	const struct daemon *daemon = argument;

	return daemon->state != DAEMON_RUNNING;
}

static uint64_t daemon_drain_timeout(void *argument)
{
	const struct daemon *daemon = argument;

	return daemon->config->daemon.drain_timeout;
}

/* Clients that are reset already have their own time. */
static void drain_wanted(void *argument, uint64_t drain_us)
{
	struct daemon *daemon = argument;

	if (daemon->state != DAEMON_RESETTING)
		begin_draining(daemon, "drain", drain_us);
}

static bool reload_wanted(void *argument, char *text, size_t size)
{
	return daemon_reload(argument, text, size);
}

static bool open_control(struct daemon *daemon)
{
	const struct control_callbacks callbacks = {
		.streams = daemon->streams,
		.argument = daemon,
		.is_draining = daemon_is_draining,
		.drain_timeout = daemon_drain_timeout,
		.drain = drain_wanted,
		.reload = reload_wanted,
	};
	char *path = control_path(daemon->config->daemon.control);

	if (!path)
		return true;
	daemon->control = control_open(daemon->base, path, &callbacks);
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

/* A SIGHUP that main() kept pending is handled when the event loop runs. */
static void unblock_hangup(void)
{
	sigset_t hangup;

	sigemptyset(&hangup);
	sigaddset(&hangup, SIGHUP);
	sigprocmask(SIG_UNBLOCK, &hangup, NULL);
}

struct daemon *daemon_open(struct config *config, int argc, char **argv)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));

	event_set_log_callback(log_from_libevent);
	signal(SIGPIPE, SIG_IGN);
	if (!daemon) {
		log_error("no memory to start");
		return NULL;
	}
	daemon->config = config;
	daemon->argc = argc;
	daemon->argv = argv;
	if (!open_events(daemon)) {
		log_error("cannot set up the event loop");
		daemon_close(daemon);
		return NULL;
	}
	unblock_hangup();
	if (!open_streams(daemon) || !open_control(daemon) || !open_metrics(daemon)) {
		daemon_close(daemon);
		return NULL;
	}
	service_sockets_each(warn_if_socket_unused, daemon->config);
	return daemon;
}

int daemon_run(struct daemon *daemon)
{
	int status;

	streams_start(daemon->streams);
	daemon->heartbeat = heartbeat_start(daemon->base, daemon->streams);
	if (!daemon->heartbeat) {
		log_error("no memory to start");
		return 1;
	}
	loop_time_start(daemon->base);
	status = event_base_dispatch(daemon->base);
	loop_time_stop();
	if (status < 0)
		log_error("the event loop failed");
	return status < 0;
}

void daemon_close(struct daemon *daemon)
{
	bool complete;

	if (daemon->control)
		control_close(daemon->control);
	if (daemon->metrics)
		metrics_close(daemon->metrics);
	if (daemon->heartbeat)
		heartbeat_free(daemon->heartbeat);
	complete = !daemon->streams || streams_close(daemon->streams);
	if (daemon->drain_timer)
		event_free(daemon->drain_timer);
	for (size_t i = 0; i < 2; i++) {
		if (daemon->signal[i])
			event_free(daemon->signal[i]);
	}
	if (daemon->hangup)
		event_free(daemon->hangup);
	if (daemon->base && complete)
		event_base_free(daemon->base);
	free(daemon);
}
