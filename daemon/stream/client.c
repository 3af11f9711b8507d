// SPDX-License-Identifier: BSD-2-Clause
#include "stream/client.h"

#include "lib/clock.h"
#include "lib/log.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of what the peer sends, which is dropped: more than any socket holds. */
#define INPUT_BYTES (1UL << 30)
#define INPUT_READS 4

#define KEEPALIVE_PROBES 3

/* So long after a reset every completion should have come. */
#define OVERDUE_SECONDS 5

static const struct timeval reset_watch = { .tv_sec = 1 };

struct client *client_of(struct cursor *cursor)
{
	return (struct client *)(void *)((char *)cursor - offsetof(struct client, cursor));
}

static const char *const state_word[] = { "streaming", "finishing", "closing", "resetting",
					  "gone" };

static void set_state(struct client *client, enum client_state state)
{
	/* Only forwards, and closed only with nothing outstanding. */
	assert(state > client->state);
	assert(state != CLIENT_GONE || !zerocopy_outstanding(&client->zerocopy));
	log_debug("stream %s: client %s is %s, was %s", client->settings->name, client->peer_text,
		  state_word[state], state_word[client->state]);
	if (client_is_active(client) && state > CLIENT_FINISHING)
		window_leave(client->window, &client->cursor);
	client->state = state;
}

static void set_option(const struct client *client, int level, int option, int value,
		       const char *name)
{
	if (setsockopt(client->zerocopy.fd, level, option, &value, sizeof(value)))
		log_debug("stream %s: client %s: %s: %s", client->settings->name, client->peer_text,
			  name, strerror(errno));
}

/* An unfinished connection is to be reset, not to linger, when this process ends for any reason. */
static void set_linger(const struct client *client, bool reset_on_close)
{
	struct linger linger = { .l_onoff = reset_on_close, .l_linger = 0 };

	setsockopt(client->zerocopy.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static int at_least_one_second(uint64_t microseconds)
{
	return microseconds < 1000000 ? 1 : (int)(microseconds / 1000000);
}

static void set_keepalive(const struct client *client)
{
	uint64_t keepalive = client->settings->keepalive;

	if (!keepalive)
		return;
	set_option(client, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
	set_option(client, IPPROTO_TCP, TCP_KEEPIDLE, at_least_one_second(keepalive),
		   "TCP_KEEPIDLE");
	set_option(client, IPPROTO_TCP, TCP_KEEPINTVL,
		   at_least_one_second(keepalive / KEEPALIVE_PROBES), "TCP_KEEPINTVL");
	set_option(client, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES, "TCP_KEEPCNT");
}

static void set_socket_options(const struct client *client)
{
	const struct stream_settings *settings = client->settings;

	set_linger(client, true);
	set_option(client, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
	set_option(client, IPPROTO_TCP, TCP_NOTSENT_LOWAT, stream_settings_notsent_lowat(settings),
		   "TCP_NOTSENT_LOWAT");
	if (settings->send_buffer != SETTING_AUTO)
		set_option(client, SOL_SOCKET, SO_SNDBUF, (int)settings->send_buffer, "SO_SNDBUF");
	if (settings->user_timeout)
		set_option(client, IPPROTO_TCP, TCP_USER_TIMEOUT,
			   (int)((settings->user_timeout + 999) / 1000), "TCP_USER_TIMEOUT");
	set_keepalive(client);
}

static void close_and_go(struct client *client)
{
	event_del(&client->event);
	set_state(client, CLIENT_GONE);
	zerocopy_close(&client->zerocopy);
	client->owner->gone(client->owner->argument, client);
}

static void go_on_resetting(struct client *client)
{
	zerocopy_reap(&client->zerocopy);
	if (!zerocopy_outstanding(&client->zerocopy))
		close_and_go(client);
	else if (!event_pending(&client->event, EV_TIMEOUT, NULL))
		event_add(&client->event, &reset_watch);
}

static void reset_watch_expired(struct client *client)
{
	go_on_resetting(client);
	if (client->state != CLIENT_RESETTING)
		return;
	if (++client->overdue == OVERDUE_SECONDS)
		log_warning("stream %s: client %s: %u sends are not complete %u seconds after the "
			    "reset; their blocks stay pinned until they are",
			    client->settings->name, client->peer_text,
			    zerocopy_outstanding(&client->zerocopy), OVERDUE_SECONDS);
}

static void set_reason(struct client *client, enum leave_reason reason, const char *text)
{
	client->leave = reason;
	client->reason = text ? text : leave_reason_text(reason);
}

void client_kick(struct client *client, enum leave_reason reason, const char *text)
{
	if (client->state >= CLIENT_RESETTING)
		return;
	set_reason(client, reason, text);
	set_state(client, CLIENT_RESETTING);
	zerocopy_reset(&client->zerocopy);
	go_on_resetting(client);
}

static void connection_failed(struct client *client, int error)
{
	switch (error) {
	case ECONNRESET:
	case ENOTCONN:
	case EPIPE:
		client_kick(client, LEAVE_RESET_BY_PEER, NULL);
		break;
	case ETIMEDOUT:
		client_kick(client, LEAVE_TIMED_OUT, NULL);
		break;
	default:
		client_kick(client, LEAVE_ERROR, strerror(error));
	}
}

/* CLOSING: is the peer's kernel in possession of everything? */
static void close_if_acknowledged(struct client *client)
{
	int unacknowledged = 0;

	if (zerocopy_outstanding(&client->zerocopy))
		return;
	if (ioctl(client->zerocopy.fd, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged)
		return;
	set_linger(client, false);
	close_and_go(client);
}

static void end_in_order(struct client *client)
{
	set_reason(client, LEAVE_END_OF_STREAM, NULL);
	set_state(client, CLIENT_CLOSING);
	if (shutdown(client->zerocopy.fd, SHUT_WR)) {
		connection_failed(client, errno);
		return;
	}
	close_if_acknowledged(client);
}

/*
 * Pin no more than is allowed. A block that someone pins already is not one more; all clients pin it in
 * turn.
 */
static void keep_to_allowance(const struct client *client, struct zerocopy_request *request)
{
	uint32_t allowance = client->owner->pin_allowance(client->owner->argument);
	const struct block *block = request->first;
	uint32_t run = 0;

	for (; run < request->blocks && (block->pins || allowance); run++, block = block->next) {
		if (!block->pins)
			allowance--;
	}
	request->may_pin = run > 0;
	if (request->may_pin)
		request->blocks = run;
}

void client_send(struct client *client)
{
	const struct client_owner *owner = client->owner;
	uint64_t budget =
		zerocopy_budget(&client->zerocopy, owner->turn_bytes, owner->uncopied_turn_bytes);
	uint64_t sent = 0;

	while (client_is_active(client)) {
		struct zerocopy_request request = {
			.first = window_block(client->window, &client->cursor),
			.offset = client->cursor.offset,
		};
		ssize_t n;

		if (!request.first) {
			if (client->state == CLIENT_FINISHING)
				end_in_order(client);
			return;
		}
		if (zerocopy_is_blocked(&client->zerocopy))
			return;
		if (sent >= budget) {
			owner->again(owner->argument, client);
			return;
		}
		request.max_bytes = budget - sent;
		request.blocks = window_run(client->window, &client->cursor, ZEROCOPY_PIECES,
					    request.max_bytes);
		keep_to_allowance(client, &request);
		n = zerocopy_send(&client->zerocopy, &request);
		if (n > 0) {
			sent += (uint64_t)n;
			client->stats.sent_bytes += (uint64_t)n;
			window_advance(client->window, &client->cursor, (uint64_t)n);
		} else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
			connection_failed(client, errno);
		}
	}
}

void client_finish(struct client *client)
{
	if (client->state != CLIENT_STREAMING)
		return;
	set_state(client, CLIENT_FINISHING);
	client_send(client);
}

/* After its FIN, recv() does not tell of a reset. */
static bool has_failed(struct client *client)
{
	socklen_t length = sizeof(int);
	int error = 0;

	if (getsockopt(client->zerocopy.fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error)
		connection_failed(client, error);
	return error != 0;
}

/* Drop what the peer sent, and see how it is. Return: false when the connection is over. */
static bool read_input(struct client *client)
{
	for (int i = 0; i < INPUT_READS && !client->input_ended; i++) {
		/* With MSG_TRUNC the kernel drops TCP data instead of copying it. */
		ssize_t n = recv(client->zerocopy.fd, NULL, INPUT_BYTES, MSG_TRUNC | MSG_DONTWAIT);

		if (n == 0) {
			client->input_ended = true;
		} else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			return true;
		} else if (n < 0 && errno != EINTR) {
			connection_failed(client, errno);
			return false;
		}
	}
	return !client->input_ended || !has_failed(client);
}

/*
 * What poll() would tell of the socket. libevent tells of an error queue that is not empty as EV_READ |
 * EV_WRITE, as if there was room to send, too. To try costs more than to ask, and if there is a little
 * room, it takes a packet where a little later there would be room for many.
 */
static int readiness(const struct client *client, short what)
{
	struct pollfd socket = { .fd = client->zerocopy.fd, .events = POLLIN | POLLOUT };

	if (!(what & EV_READ))
		return POLLOUT;
	if (poll(&socket, 1, 0) < 0)
		return POLLIN | POLLERR | POLLOUT;
	return socket.revents;
}

static void socket_event(evutil_socket_t fd, short what, void *argument)
{
	struct client *client = argument;
	int ready;

	(void)fd;
	if (client->state == CLIENT_RESETTING) {
		if (what & EV_TIMEOUT)
			reset_watch_expired(client);
		else
			go_on_resetting(client);
		return;
	}
	ready = readiness(client, what);
	/*
	 * Is there a connection yet? A reset purges the write queue: what is reported complete then was
	 * not acknowledged. The error queue before everything else: it may free blocks, and room to send.
	 */
	if (ready & (POLLIN | POLLHUP) && !read_input(client))
		return;
	if (ready & POLLERR)
		zerocopy_reap(&client->zerocopy);
	if (ready & POLLOUT)
		zerocopy_unblock(&client->zerocopy);
	if (client->state == CLIENT_CLOSING)
		close_if_acknowledged(client);
	else
		client_send(client);
}

struct client *client_create(struct event_base *base, int fd, const struct sockaddr *peer,
			     socklen_t peer_length, const struct stream_settings *settings,
			     struct window *window, const struct client_owner *owner)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return NULL;
	}
	memcpy(&client->peer, peer, peer_length);
	address_format(peer, client->peer_text);
	client->settings = settings;
	client->owner = owner;
	client->window = window;
	client->joined_ns = clock_monotonic_ns();
	zerocopy_open(&client->zerocopy, fd, (enum zerocopy_mode)settings->zerocopy, owner->latency,
		      owner->verdicts);
	set_socket_options(client);
	event_assign(&client->event, base, fd, EV_READ | EV_WRITE | EV_ET | EV_PERSIST,
		     socket_event, client);
	if (event_add(&client->event, NULL)) {
		zerocopy_close(&client->zerocopy);
		free(client);
		return NULL;
	}
	window_join(window, &client->cursor);
	return client;
}

void client_free(struct client *client)
{
	assert(client->state == CLIENT_GONE);
	free(client);
}

/* ---- looking at it ---- */

struct client_lag client_lag(const struct client *client, uint64_t now_ns)
{
	struct client_lag lag = { 0 };
	const struct block *block;

	if (!client_is_active(client))
		return lag;
	block = window_block(client->window, &client->cursor);
	lag.bytes = window_lag(client->window, &client->cursor);
	if (block)
		lag.ns = block_age(block, now_ns);
	return lag;
}

static void report_endpoint(const struct client *client, char text[ADDRESS_TEXT])
{
	struct sockaddr_storage local;
	socklen_t length = sizeof(local);

	text[0] = '\0';
	if (client->state < CLIENT_RESETTING &&
	    !getsockname(client->zerocopy.fd, (struct sockaddr *)&local, &length))
		address_format((const struct sockaddr *)&local, text);
}

void client_report(const struct client *client, uint64_t now_ns, struct client_report *report)
{
	static const char *const way_word[] = {
		[ZEROCOPY_WAY_PINS] = "zerocopy",
		[ZEROCOPY_WAY_COPIES] = "copying",
		[ZEROCOPY_WAY_PROBES] = "probing",
	};
	struct client_lag lag = client_lag(client, now_ns);

	*report = (struct client_report){
		.peer = client->peer_text,
		.state = state_word[client->state],
		.joined_ns = client->joined_ns,
		.sequence = client->cursor.held ? client->cursor.held->sequence
						: client->cursor.sequence,
		.offset = client->cursor.offset,
		.lag_bytes = lag.bytes,
		.lag_ns = lag.ns,
		.totals = { .stats = client->stats, .sends = client->zerocopy.stats },
		.outstanding = zerocopy_outstanding(&client->zerocopy),
		.pinned_blocks = completions_blocks(&client->zerocopy.completions),
		.sending = way_word[zerocopy_probe_way(&client->zerocopy.probe)],
	};
	report_endpoint(client, report->endpoint);
}
