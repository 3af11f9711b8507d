// SPDX-License-Identifier: BSD-2-Clause
/*
 * A connection and what it is doing:
 *
 *   READING ─ a whole line ─▶ READY ─ dequeued ─▶ ANSWERING ─ the answer is read ─▶ READING
 *      │                        │ dequeued, a reload    ▲
 *      │                        ├───▶ WAITING ── done ──┤ or a handover: done if it failed, else the process ends
 *      │                        └─ "events" ─▶ SUBSCRIBED
 *      └──── too late, too long, the end, an error ─────┴──▶ DEAD
 *
 * Only READING reads requests. Connections are answered in turn, one request each, with a pause after each that
 * is nine times as long as the request took; events share that time. A connection in the middle of a line or of
 * an answer has a time limit; an idle one has none, but is closed in favour of others when there are many.
 *
 * SUBSCRIBED gets events until its end. It may send nothing more, and is not closed in favour of others.
 *
 * A connection that is DEAD is freed in the next turn of the event loop.
 */
#include "control/control.h"

#include "control/event_feed.h"
#include "control/request.h"
#include "lib/clock.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/priority.h"
#include "lib/unix_socket.h"
#include "stream/streams.h"

#include <assert.h>
#include <bsd/sys/queue.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 32
#define MAX_LINE_BYTES 4096

/* Connections that get events, and those of them whose users may only look. */
#define MAX_SUBSCRIBERS 16
#define MAX_GUEST_SUBSCRIBERS 8

/* Time for writing events in one turn of the event loop, in nanoseconds. */
#define EVENTS_NS 1000000

/* Time for the last events at the end of the daemon, in nanoseconds, and the interval between two attempts in ms. */
#define LAST_EVENTS_NS 1000000000ULL
#define LAST_EVENTS_INTERVAL_MS 10

/* Ratio of the pause to the duration of the request before it. */
#define PAUSE_RATIO 9

static const struct timeval patience = { .tv_sec = 10 };

enum connection_state {
	CONNECTION_READING,
	CONNECTION_READY,
	CONNECTION_WAITING,
	CONNECTION_ANSWERING,
	CONNECTION_SUBSCRIBED,
	CONNECTION_DEAD,
};

struct connection {
	TAILQ_ENTRY(connection) entry;
	struct control *control;
	struct request_peer peer;
	enum connection_state state;
	bool last;				/* close it after this answer */
	uint64_t reload;			/* WAITING for it; 0: for a handover */
	struct event_subscription subscription; /* SUBSCRIBED */
	uint64_t active_ns;
	struct bufferevent *buffer;
	struct event *deadline;
};

TAILQ_HEAD(connection_list, connection);

struct control {
	struct event_base *base;
	struct control_callbacks callbacks;
	struct unix_socket socket;
	bool is_bound; /* the socket exists */
	struct listen_set *set;
	struct connection_list connections;
	struct connection_list dead;
	unsigned int count; /* of connections that are not dead */
	struct event *answer_timer;
	uint64_t next_answer_ns;  /* not before */
	struct event *free_event; /* frees the dead */
	struct event_feed feed;
};

/* ---- one connection ---- */

static void control_set_state(struct connection *connection, enum connection_state state)
{
	assert(connection->state != CONNECTION_DEAD);
	connection->state = state;
	if (state == CONNECTION_READING || state == CONNECTION_SUBSCRIBED)
		bufferevent_enable(connection->buffer, EV_READ);
	else
		bufferevent_disable(connection->buffer, EV_READ);
	if (state == CONNECTION_ANSWERING)
		evtimer_add(connection->deadline, &patience);
	else
		event_del(connection->deadline);
}

static void connection_bury(struct connection *connection, const char *why)
{
	struct control *control = connection->control;

	if (connection->state == CONNECTION_DEAD)
		return;
	log_debug("control: connection of uid %u, pid %d: %s", (unsigned int)connection->peer.uid,
		  (int)connection->peer.pid, why);
	if (connection->state == CONNECTION_SUBSCRIBED)
		event_feed_remove(&control->feed, &connection->subscription);
	control_set_state(connection, CONNECTION_DEAD);
	bufferevent_disable(connection->buffer, EV_WRITE);
	TAILQ_REMOVE(&control->connections, connection, entry);
	TAILQ_INSERT_TAIL(&control->dead, connection, entry);
	control->count--;
	event_active(control->free_event, EV_TIMEOUT, 0);
}

static void connection_free(struct connection *connection)
{
	if (connection->buffer)
		bufferevent_free(connection->buffer);
	if (connection->deadline)
		event_free(connection->deadline);
	free(connection);
}

static void control_free_dead(evutil_socket_t fd, short what, void *argument)
{
	struct control *control = argument;
	struct connection *connection;

	(void)fd;
	(void)what;
	while ((connection = TAILQ_FIRST(&control->dead))) {
		TAILQ_REMOVE(&control->dead, connection, entry);
		connection_free(connection);
	}
}

static void control_schedule(struct control *control)
{
	uint64_t now = clock_monotonic_ns(), microseconds = 0;
	struct timeval delay;

	if (evtimer_pending(control->answer_timer, NULL))
		return;
	if (control->next_answer_ns > now)
		microseconds = (control->next_answer_ns - now) / 1000 + 1;
	delay = clock_timeval(microseconds);
	evtimer_add(control->answer_timer, &delay);
}

static void connection_send_answer(struct connection *connection, char *answer)
{
	struct evbuffer *output = bufferevent_get_output(connection->buffer);

	control_set_state(connection, CONNECTION_ANSWERING);
	if (!answer || evbuffer_add(output, answer, strlen(answer)) ||
	    evbuffer_add(output, "\n", 1))
		connection_bury(connection, "no memory for the answer");
	free(answer);
}

static void control_queue_request(struct connection *connection)
{
	control_set_state(connection, CONNECTION_READY);
	control_schedule(connection->control);
}

/* In READING: queue the request if there is a whole line. */
static void connection_check_input(struct connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->buffer);
	struct evbuffer_ptr end = evbuffer_search_eol(input, NULL, NULL, EVBUFFER_EOL_LF);
	size_t length = evbuffer_get_length(input);

	if (end.pos >= 0 && end.pos <= MAX_LINE_BYTES) {
		control_queue_request(connection);
	} else if (end.pos >= 0 || length > MAX_LINE_BYTES) {
		evbuffer_drain(input, length);
		connection->last = true;
		connection_send_answer(connection, request_refusal("line too long"));
	} else if (connection->last && length) {
		control_queue_request(connection); /* the end of the input ends the line, too */
	} else if (connection->last) {
		connection_bury(connection, "closed by the peer");
	} else if (length && !evtimer_pending(connection->deadline, NULL)) {
		evtimer_add(connection->deadline, &patience);
	}
}

/* Return: the line that is there, which the caller frees; NULL without memory. */
static char *connection_take_line(struct connection *connection, size_t *length)
{
	struct evbuffer *input = bufferevent_get_input(connection->buffer);
	char *line = evbuffer_readln(input, length, EVBUFFER_EOL_LF);

	if (line || !connection->last)
		return line;
	*length = evbuffer_get_length(input);
	line = malloc(*length);
	if (line)
		evbuffer_remove(input, line, *length);
	return line;
}

static unsigned int control_count_guest_subscribers(const struct control *control)
{
	const struct connection *connection;
	unsigned int count = 0;

	TAILQ_FOREACH (connection, &control->connections, entry)
		count += connection->state == CONNECTION_SUBSCRIBED && !connection->peer.may_change;
	return count;
}

/* Return: NULL, or why the connection gets no events. */
static const char *connection_subscription_error(const struct connection *connection)
{
	const struct control *control = connection->control;

	if (evbuffer_get_length(bufferevent_get_input(connection->buffer)))
		return "expected no request after events on a connection";
	if (control->feed.count >= MAX_SUBSCRIBERS)
		return "too many connections get events; end one of them";
	if (!connection->peer.may_change &&
	    control_count_guest_subscribers(control) >= MAX_GUEST_SUBSCRIBERS)
		return "too many connections get events, without those of root and the daemon's "
		       "own user; end one of them";
	return NULL;
}

/* Send @answer, and events from now on. @stream: taken over */
static void connection_subscribe(struct connection *connection, char *answer, char *stream)
{
	const char *error = connection_subscription_error(connection);

	if (error) {
		free(answer);
		answer = request_refusal(error);
	}
	connection_send_answer(connection, answer);
	if (error || connection->state == CONNECTION_DEAD) {
		free(stream);
		return;
	}
	event_feed_add(&connection->control->feed, &connection->subscription,
		       bufferevent_get_output(connection->buffer), stream);
	control_set_state(connection, CONNECTION_SUBSCRIBED);
	log_debug("control: connection of uid %u, pid %d gets events",
		  (unsigned int)connection->peer.uid, (int)connection->peer.pid);
}

static void connection_answer(struct connection *connection)
{
	struct control *control = connection->control;
	struct request_effect effect = { .reload = 0 };
	size_t length;
	char *line = connection_take_line(connection, &length), *answer = NULL;

	connection->active_ns = clock_monotonic_ns();
	if (line)
		answer = request_answer(&control->callbacks, &connection->peer, line, length,
					&effect);
	free(line);
	if (effect.reload || effect.hands_over) {
		connection->reload = effect.reload;
		control_set_state(connection, CONNECTION_WAITING);
	} else if (effect.subscribes) {
		connection_subscribe(connection, answer, effect.stream);
	} else {
		connection_send_answer(connection, answer);
	}
}

void control_reload_done(struct control *control, uint64_t number, bool done, const char *text)
{
	struct connection *connection, *next;

	TAILQ_FOREACH_SAFE (connection, &control->connections, entry, next) {
		if (connection->state == CONNECTION_WAITING && connection->reload == number)
			connection_send_answer(connection, request_reload_answer(done, text));
	}
}

void control_handover_failed(struct control *control, const char *why)
{
	struct connection *connection, *next;

	TAILQ_FOREACH_SAFE (connection, &control->connections, entry, next) {
		if (connection->state == CONNECTION_WAITING && !connection->reload)
			connection_send_answer(connection, request_refusal(why));
	}
}

static struct connection *control_next_ready(struct control *control)
{
	struct connection *connection;

	TAILQ_FOREACH (connection, &control->connections, entry) {
		if (connection->state == CONNECTION_READY)
			return connection;
	}
	return NULL;
}

static void control_answer_next(struct control *control)
{
	struct connection *connection = control_next_ready(control);

	if (!connection)
		return;
	TAILQ_REMOVE(&control->connections, connection, entry);
	TAILQ_INSERT_TAIL(&control->connections, connection, entry);
	connection_answer(connection);
}

/* Answer one request and write some events, and then leave the time to others. */
static void control_work(evutil_socket_t fd, short what, void *argument)
{
	struct control *control = argument;
	uint64_t begin = clock_monotonic_ns(), end;

	(void)fd;
	(void)what;
	control_answer_next(control);
	event_feed_run(&control->feed, begin + EVENTS_NS);
	end = clock_monotonic_ns();
	control->next_answer_ns = end + (end - begin) * PAUSE_RATIO;
	if (control_next_ready(control) || event_feed_is_pending(&control->feed))
		control_schedule(control);
}

static void control_wake(void *argument)
{
	control_schedule(argument);
}

static void connection_input_arrived(struct bufferevent *buffer, void *argument)
{
	struct connection *connection = argument;

	(void)buffer;
	if (connection->state == CONNECTION_READING)
		connection_check_input(connection);
	else if (connection->state == CONNECTION_SUBSCRIBED)
		connection_bury(connection, "sent more after it asked for events");
}

static void connection_answer_sent(struct bufferevent *buffer, void *argument)
{
	struct connection *connection = argument;

	if (connection->state == CONNECTION_SUBSCRIBED)
		event_feed_drained(&connection->subscription);
	if (connection->state != CONNECTION_ANSWERING)
		return;
	if (connection->last && !evbuffer_get_length(bufferevent_get_input(buffer))) {
		connection_bury(connection, "done");
		return;
	}
	control_set_state(connection, CONNECTION_READING);
	connection_check_input(connection);
}

/* The peer has ended its sending side. If it reads no more either, end the connection; else look again later. */
static void connection_check_hangup(struct connection *connection)
{
	struct pollfd socket = { .fd = bufferevent_getfd(connection->buffer) };

	if (poll(&socket, 1, 0) > 0)
		connection_bury(connection, "closed by the peer");
	else
		evtimer_add(connection->deadline, &patience);
}

static void connection_event(struct bufferevent *buffer, short what, void *argument)
{
	struct connection *connection = argument;

	(void)buffer;
	if (what & BEV_EVENT_EOF) {
		connection->last = true;
		if (connection->state == CONNECTION_READING)
			connection_check_input(connection);
		else if (connection->state == CONNECTION_SUBSCRIBED)
			connection_check_hangup(connection);
	} else {
		connection_bury(connection, strerror(EVUTIL_SOCKET_ERROR()));
	}
}

static void connection_deadline_passed(evutil_socket_t fd, short what, void *argument)
{
	struct connection *connection = argument;

	(void)fd;
	(void)what;
	if (connection->state == CONNECTION_SUBSCRIBED)
		connection_check_hangup(connection);
	else
		connection_bury(connection, connection->state == CONNECTION_ANSWERING
						    ? "does not read its answer"
						    : "does not end its line");
}

/* ---- all of them ---- */

static unsigned int control_count_of_user(const struct control *control, uid_t uid)
{
	const struct connection *connection;
	unsigned int count = 0;

	TAILQ_FOREACH (connection, &control->connections, entry)
		count += connection->peer.uid == uid;
	return count;
}

/* Make place for one more: close the quietest connection of the user with the most of them. */
static void control_evict_one(struct control *control)
{
	struct connection *connection, *least = NULL;
	unsigned int most = 0;

	if (control->count < MAX_CONNECTIONS)
		return;
	TAILQ_FOREACH (connection, &control->connections, entry) {
		unsigned int count = control_count_of_user(control, connection->peer.uid);

		if (connection->state == CONNECTION_SUBSCRIBED)
			continue;
		if (!least || count > most ||
		    (count == most && connection->active_ns < least->active_ns)) {
			least = connection;
			most = count;
		}
	}
	connection_bury(least, "closed in favour of another one");
}

static bool connection_identify(int fd, struct request_peer *peer)
{
	struct ucred credentials;
	socklen_t length = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length))
		return false;
	peer->uid = credentials.uid;
	peer->pid = credentials.pid;
	peer->may_change = peer->uid == 0 || peer->uid == geteuid();
	return true;
}

static bool connection_open(struct connection *connection, int fd)
{
	struct control *control = connection->control;

	connection->deadline = evtimer_new(control->base, connection_deadline_passed, connection);
	connection->buffer = bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!connection->buffer)
		close(fd);
	if (!connection->buffer || !connection->deadline)
		return false;
	event_priority_set(connection->deadline, PRIORITY_OPERATOR);
	bufferevent_priority_set(connection->buffer, PRIORITY_OPERATOR);
	bufferevent_set_max_single_write(connection->buffer, OPERATOR_WRITE_BYTES);
	bufferevent_setcb(connection->buffer, connection_input_arrived, connection_answer_sent,
			  connection_event, connection);
	/* Read no more than shows that a line is too long. */
	bufferevent_setwatermark(connection->buffer, EV_READ, 0, MAX_LINE_BYTES + 1);
	return !bufferevent_enable(connection->buffer, EV_READ | EV_WRITE);
}

static void control_accepted(void *argument, int fd, const struct sockaddr *address,
			     socklen_t length)
{
	struct control *control = argument;
	struct connection *connection;
	struct request_peer peer;

	(void)address;
	(void)length;
	connection = calloc(1, sizeof(*connection));
	if (!connection || !connection_identify(fd, &peer)) {
		free(connection);
		close(fd);
		return;
	}
	control_evict_one(control);
	connection->control = control;
	connection->peer = peer;
	connection->active_ns = clock_monotonic_ns();
	if (!connection_open(connection, fd)) {
		connection_free(connection);
		return;
	}
	TAILQ_INSERT_TAIL(&control->connections, connection, entry);
	control->count++;
}

static void control_describe(void *argument, char *text, size_t size)
{
	const struct control *control = argument;

	snprintf(text, size, "control socket %s", control->socket.address.sun_path);
}

static const struct listen_callbacks control_listen_callbacks = {
	.accepted = control_accepted,
	.describe = control_describe,
};

char *control_path(const char *wanted)
{
	const char *directory = getenv("RUNTIME_DIRECTORY");
	char *path;

	if (wanted)
		return strdup(wanted);
	if (!directory || *directory != '/' ||
	    asprintf(&path, "%.*s/control", (int)strcspn(directory, ":"), directory) < 0)
		return NULL;
	return path;
}

static bool control_listen(struct control *control, const char *path)
{
	char what[sizeof("control socket ") + PATH_MAX], wrong[UNIX_SOCKET_WRONG];
	const char *error;
	int fd;

	snprintf(what, sizeof(what), "control socket %s", path);
	fd = unix_socket_open(&control->socket, path, what, wrong);
	if (fd < 0) {
		log_error("control = %s: %s", path, wrong);
		return false;
	}
	control->is_bound = true;
	error = listen_on_bound(control->set, fd, MAX_CONNECTIONS);
	if (error)
		log_error("control = %s: %s", path, error);
	else
		log_info("control socket %s", path);
	return !error;
}

struct control *control_open(struct event_base *base, const char *path,
			     const struct control_callbacks *callbacks)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control) {
		log_error("no memory for the control socket");
		return NULL;
	}
	control->base = base;
	control->callbacks = *callbacks;
	TAILQ_INIT(&control->connections);
	TAILQ_INIT(&control->dead);
	event_feed_init(&control->feed, streams_watch(callbacks->streams), control_wake, control);
	control->set = listen_create(base, &control_listen_callbacks, control);
	control->answer_timer = evtimer_new(base, control_work, control);
	control->free_event = evtimer_new(base, control_free_dead, control);
	if (control->set && control->answer_timer && control->free_event) {
		event_priority_set(control->answer_timer, PRIORITY_OPERATOR);
		event_priority_set(control->free_event, PRIORITY_OPERATOR);
		listen_prioritize(control->set);
		if (control_listen(control, path))
			return control;
	}
	control_close(control);
	return NULL;
}

/* Send what the socket accepts, without the event loop. */
static void connection_send_at_once(struct connection *connection)
{
	struct evbuffer *output = bufferevent_get_output(connection->buffer);

	evbuffer_unfreeze(output, 1);
	evbuffer_write(output, bufferevent_getfd(connection->buffer));
}

/* Return true if events are left that the peers have not taken yet. */
static bool control_send_events_at_once(struct control *control)
{
	struct connection *connection;
	bool left;

	event_feed_run(&control->feed, clock_monotonic_ns() + EVENTS_NS);
	left = event_feed_is_pending(&control->feed);
	TAILQ_FOREACH (connection, &control->connections, entry) {
		const struct evbuffer *output = bufferevent_get_output(connection->buffer);

		if (connection->state != CONNECTION_SUBSCRIBED)
			continue;
		connection_send_at_once(connection);
		if (!evbuffer_get_length(output))
			event_feed_drained(&connection->subscription);
		left = left || evbuffer_get_length(output);
	}
	return left;
}

/* When thousands of clients leave with the daemon, their events are still to be written. The loop has ended. */
static void control_send_last_events(struct control *control)
{
	uint64_t until_ns = clock_monotonic_ns() + LAST_EVENTS_NS;

	while (control_send_events_at_once(control) && clock_monotonic_ns() < until_ns)
		poll(NULL, 0, event_feed_is_pending(&control->feed) ? 0 : LAST_EVENTS_INTERVAL_MS);
}

void control_close(struct control *control)
{
	struct connection *connection;

	if (control->is_bound)
		unix_socket_remove(&control->socket);
	if (control->set)
		listen_close(control->set);
	control_send_last_events(control);
	while ((connection = TAILQ_FIRST(&control->connections))) {
		connection_send_at_once(connection);
		connection_bury(connection, "stopping");
	}
	if (control->free_event) {
		control_free_dead(-1, EV_TIMEOUT, control);
		event_free(control->free_event);
	}
	if (control->answer_timer)
		event_free(control->answer_timer);
	free(control);
}
