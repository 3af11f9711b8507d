// SPDX-License-Identifier: BSD-2-Clause
#include "daemon.h"

#include "config/option_table.h"
#include "control/control.h"
#include "handover.h"
#include "host/heartbeat.h"
#include "inheritance.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop_time.h"
#include "lib/memory_reserve.h"
#include "lib/priority.h"
#include "lib/resolver.h"
#include "lib/service.h"
#include "observe/metrics.h"
#include "reloader.h"
#include "ring/ring_memory.h"
#include "stream/preparation.h"
#include "stream/reload.h"
#include "stream/stream_watch.h"
#include "stream/streams.h"

#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Time for the completions of clients after their reset; then the daemon exits without them. */
static const struct timeval completion_time = { .tv_sec = 10 };

/*
 *   STARTING ─ names resolved, rings made, all open ─▶ RUNNING ─ SIGTERM ─▶ DRAINING ─ time over ─▶ RESETTING
 *
 * SIGTERM in STARTING ends the daemon at once; if it has a predecessor, whose clients are there already, it is DRAINING
 * after STARTING.
 */
enum daemon_state { DAEMON_STARTING, DAEMON_RUNNING, DAEMON_DRAINING, DAEMON_RESETTING };

struct daemon {
	struct config *config;
	int argc;
	char **argv;
	struct event_base *base;
	struct streams *streams;
	struct control *control; /* NULL if not configured */
	struct metrics *metrics; /* NULL if not configured */
	enum daemon_state state;
	int status;			 /* exit status */
	struct preparation *preparation; /* STARTING */
	bool reload_early;		 /* SIGHUP came in STARTING */
	bool has_inherited;		 /* the streams are those of a predecessor */
	int stop_early; /* with them, the signal to stop that came in STARTING; 0: none */
	struct reloader *reloader; /* not in STARTING */
	struct event *signal[2], *hangup;
	struct heartbeat *heartbeat;
	struct handover *handover;
	struct event *drain_timer; /* end of DAEMON_DRAINING or DAEMON_RESETTING */
};

static void log_from_libevent(int severity, const char *text)
{
	if (severity == EVENT_LOG_DEBUG)
		return;
	log_message(severity == EVENT_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "libevent: %s",
		    text);
}

/* @text: NULL: none */
static void daemon_report(struct daemon *daemon, enum stream_event_type type, const char *text)
{
	stream_watch_report(streams_watch(daemon->streams),
			    (struct stream_event){ .type = type, .text = text });
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
	daemon_report(daemon, EVENT_DRAINING, why);
	heartbeat_stopping(daemon->heartbeat);
	reloader_cancel(daemon->reloader, "not reloaded: dmacastd is stopping");
	handover_cancel(daemon->handover, "dmacastd is stopping");
	streams_stop(daemon->streams);
	if (evtimer_add(daemon->drain_timer, &drain_time)) {
		log_error("no memory for a timer; resetting the clients");
		reset_clients(daemon, "stopping");
	}
}

static void stop_starting(struct daemon *daemon, const char *why)
{
	log_notice("%s: stopping before the start is complete", why);
	preparation_free(daemon->preparation);
	daemon->preparation = NULL;
	event_base_loopbreak(daemon->base);
}

static void signal_received(evutil_socket_t number, short what, void *argument)
{
	struct daemon *daemon = argument;

	(void)what;
	if (daemon->state == DAEMON_STARTING && daemon->has_inherited) {
		daemon->stop_early = (int)number;
		return;
	}
	if (daemon->state == DAEMON_STARTING) {
		stop_starting(daemon, strsignal((int)number));
		return;
	}
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
		if (stream_settings_listens_on(&config->streams[i], text))
			return;
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

static void reload_begun(void *argument)
{
	(void)argument;
	service_tell_reloading();
}

static bool reload_apply(void *argument, struct config *config, struct preparation *preparation)
{
	struct daemon *daemon = argument;

	if (!reload_streams(daemon->streams, config->streams, config->stream_count,
			    config->daemon.drain_timeout, preparation))
		return false;
	warn_restart_options(daemon, config);
	config_renew(daemon->config, config);
	log_set_level(daemon->config->log_level);
	service_sockets_each(warn_if_socket_unused, daemon->config);
	return true;
}

static void exit_loop(struct daemon *daemon)
{
	/* loopexit() lets the other events of this iteration run, but needs memory. */
	if (event_base_loopexit(daemon->base, NULL))
		event_base_loopbreak(daemon->base);
}

static void reload_done(void *argument, uint64_t number, bool done, const char *text)
{
	struct daemon *daemon = argument;

	daemon_report(daemon, done ? EVENT_RELOAD_DONE : EVENT_RELOAD_FAILED, *text ? text : NULL);
	if (daemon->control)
		control_reload_done(daemon->control, number, done, text);
	if (daemon->state != DAEMON_RUNNING)
		return;
	handover_retry(daemon->handover);
	heartbeat_ready(daemon->heartbeat);
	if (streams_is_empty(daemon->streams) && !reloader_is_busy(daemon->reloader))
		exit_loop(daemon);
}

static const struct reloader_callbacks reload_callbacks = {
	.begun = reload_begun,
	.apply = reload_apply,
	.done = reload_done,
};

static void hangup_received(evutil_socket_t number, short what, void *argument)
{
	struct daemon *daemon = argument;

	(void)number;
	(void)what;
	if (daemon->state == DAEMON_STARTING)
		daemon->reload_early = true;
	else if (daemon->state == DAEMON_RUNNING)
		reloader_request(daemon->reloader);
	else
		log_notice("not reloading: dmacastd is stopping");
}

/* ---- start and stop ---- */

static void all_streams_ended(void *argument)
{
	struct daemon *daemon = argument;

	/* The reload may open others; it follows a start with the streams of a predecessor. */
	if (daemon->state == DAEMON_STARTING)
		return;
	if (daemon->state != DAEMON_RUNNING || !reloader_is_busy(daemon->reloader))
		exit_loop(daemon);
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

static uint64_t reload_wanted(void *argument)
{
	const struct daemon *daemon = argument;

	return reloader_request(daemon->reloader);
}

/* ---- handover ---- */

static const char *daemon_handover_obstacle(void *argument)
{
	const struct daemon *daemon = argument;

	if (daemon->state == DAEMON_STARTING)
		return "dmacastd is starting; try again";
	return daemon->state == DAEMON_RUNNING ? NULL : "dmacastd is stopping";
}

static bool daemon_handover_must_wait(void *argument)
{
	const struct daemon *daemon = argument;

	return reloader_is_busy(daemon->reloader);
}

static void daemon_handover_failed(void *argument, const char *why)
{
	struct daemon *daemon = argument;

	if (daemon->control)
		control_handover_failed(daemon->control, why);
}

static const struct handover_callbacks daemon_handover_callbacks = {
	.obstacle = daemon_handover_obstacle,
	.must_wait = daemon_handover_must_wait,
	.failed = daemon_handover_failed,
};

_Static_assert(HANDOVER_WRONG_TEXT <= CONTROL_WRONG_TEXT, "a reason fits into an answer");

static bool handover_wanted(void *argument, char wrong[CONTROL_WRONG_TEXT])
{
	const struct daemon *daemon = argument;

	return handover_to_service(daemon->handover, wrong);
}

static bool upgrade_wanted(void *argument, const char *path, char wrong[CONTROL_WRONG_TEXT])
{
	const struct daemon *daemon = argument;

	return handover_to_program(daemon->handover, path, wrong);
}

/* ---- opening ---- */

static bool open_control(struct daemon *daemon)
{
	const struct control_callbacks callbacks = {
		.streams = daemon->streams,
		.argument = daemon,
		.is_draining = daemon_is_draining,
		.drain_timeout = daemon_drain_timeout,
		.drain = drain_wanted,
		.reload = reload_wanted,
		.hand_over = handover_wanted,
		.upgrade = upgrade_wanted,
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
	daemon->metrics =
		metrics_open(daemon->base, settings->metrics, settings->metrics_per_client,
			     daemon->streams, preparation_names(daemon->preparation));
	return daemon->metrics != NULL;
}

/* Return: false without memory, which was logged. */
static bool open_operations(struct daemon *daemon)
{
	const struct config *config = daemon->config;

	daemon->reloader = reloader_create(daemon->base, daemon->streams, config, daemon->argc,
					   daemon->argv, &reload_callbacks, daemon);
	daemon->handover = handover_create(daemon->base, daemon->streams, config, daemon->argv,
					   &daemon_handover_callbacks, daemon);
	if (!daemon->reloader || !daemon->handover)
		log_error("no memory to start");
	return daemon->reloader && daemon->handover;
}

/* Open the streams of the configuration. Return: false after an error, which was logged. */
static bool open_streams(struct daemon *daemon)
{
	const struct config *config = daemon->config;

	if (!reload_streams(daemon->streams, config->streams, config->stream_count,
			    config->daemon.drain_timeout, daemon->preparation) ||
	    !open_control(daemon) || !open_metrics(daemon))
		return false;
	service_sockets_each(warn_if_socket_unused, daemon->config);
	streams_start(daemon->streams);
	return true;
}

/* The streams of a predecessor go on, also without something that the configuration has beside them. */
static bool open_beside_inherited(struct daemon *daemon, bool prepared)
{
	if (!open_control(daemon))
		log_warning("without a control socket dmacastd cannot be upgraded; correct the "
			    "configuration and restart it");
	if (!prepared || !open_metrics(daemon))
		log_warning("no metrics until dmacastd is restarted");
	return true;
}

/* Open all, with the names and the rings of the preparation. Return: false after an error, which was logged. */
static bool open_everything(struct daemon *daemon, bool prepared)
{
	if (!open_operations(daemon) ||
	    !(daemon->has_inherited ? open_beside_inherited(daemon, prepared)
				    : open_streams(daemon)))
		return false;
	daemon->heartbeat = heartbeat_start(daemon->base, daemon->streams);
	if (!daemon->heartbeat)
		log_error("no memory to start");
	return daemon->heartbeat;
}

/* What came in STARTING, or follows from it. */
static void begin_running(struct daemon *daemon)
{
	daemon->state = DAEMON_RUNNING;
	if (daemon->stop_early)
		begin_draining(daemon, strsignal(daemon->stop_early),
			       daemon->config->daemon.drain_timeout);
	else if (daemon->has_inherited)
		reloader_request_first(daemon->reloader);
	else if (daemon->reload_early)
		reloader_request(daemon->reloader);
}

static void daemon_finish_start(struct daemon *daemon, bool prepared)
{
	bool opened = open_everything(daemon, prepared);

	preparation_free(daemon->preparation);
	daemon->preparation = NULL;
	if (opened) {
		begin_running(daemon);
		return;
	}
	daemon->status = 1;
	event_base_loopbreak(daemon->base);
}

static void start_prepared(void *argument)
{
	daemon_finish_start(argument, true);
}

static void start_failed(void *argument)
{
	struct daemon *daemon = argument;

	if (daemon->has_inherited) {
		daemon_finish_start(daemon, false);
		return;
	}
	daemon->status = 1;
	event_base_loopbreak(daemon->base);
}

static void start_step(void *argument)
{
	(void)argument;
}

static const struct preparation_callbacks start_callbacks = {
	.ready = start_prepared,
	.failed = start_failed,
	.begin_step = start_step,
	.end_step = start_step,
};

/* Let the streams of a predecessor go on. Return: false if nothing is left to start. */
static bool inherit_streams(struct daemon *daemon, struct inheritance *inheritance)
{
	daemon->has_inherited =
		inheritance && inheritance_restore_streams(inheritance, daemon->streams);
	return daemon->has_inherited || daemon->config->stream_count;
}

static bool prepare_start(struct daemon *daemon, struct inheritance *inheritance)
{
	const struct config *config = daemon->config;
	static const struct streams_callbacks callbacks = { .all_ended = all_streams_ended };

	daemon->streams = streams_create(daemon->base, &callbacks, daemon);
	if (!daemon->streams) {
		log_error("no memory for the streams");
		return false;
	}
	if (!inherit_streams(daemon, inheritance))
		return false;
	daemon->preparation = preparation_start(daemon->base, daemon->streams, config->streams,
						daemon->has_inherited ? 0 : config->stream_count,
						config->daemon.metrics, &start_callbacks, daemon);
	return daemon->preparation;
}

struct daemon *daemon_open(struct config *config, int argc, char **argv,
			   struct inheritance *inheritance)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));

	event_set_log_callback(log_from_libevent);
	signal(SIGPIPE, SIG_IGN);
	event_set_mem_functions(memory_reserve_malloc, memory_reserve_realloc, free);
	if (!daemon || !memory_reserve_open()) {
		free(daemon);
		memory_reserve_close();
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
	/* What main(), or a predecessor that became this program, kept pending is handled when the event loop runs. */
	handover_unblock_signals();
	if (prepare_start(daemon, inheritance))
		return daemon;
	daemon_close(daemon);
	return NULL;
}

int daemon_run(struct daemon *daemon)
{
	int status;

	loop_time_start(daemon->base);
	status = event_base_dispatch(daemon->base);
	loop_time_stop();
	if (status < 0) {
		log_error("the event loop failed");
		return 1;
	}
	return daemon->status;
}

static void close_base(struct daemon *daemon)
{
	resolver_forget(daemon->base);
	ring_memory_forget(daemon->base);
	event_base_free(daemon->base);
	memory_reserve_close();
}

void daemon_close(struct daemon *daemon)
{
	bool complete;

	preparation_free(daemon->preparation);
	reloader_free(daemon->reloader);
	handover_free(daemon->handover);
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
		close_base(daemon);
	free(daemon);
}
