// SPDX-License-Identifier: BSD-2-Clause
#include "stream/client.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "stream/client_input.h"
#include "stream/client_internal.h"
#include "stream/client_output.h"
#include "stream/client_request.h"
#include "stream/client_socket.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A kernel answers for a connection whose socket was closed, in FIN_WAIT2, as if it was alive: for
 * net.ipv4.tcp_fin_timeout, by default 60 seconds. Afterwards it answers a probe with an RST.
 */
#define ORPHAN_NS ((60 + HALF_CLOSED_PROBE_SECONDS + 1) * 1000000000ULL)

/* All completions should have arrived within this time after a reset. */
#define OVERDUE_SECONDS 5

static const struct timeval reset_check_interval = { .tv_sec = 1 };

struct client *client_of(struct cursor *cursor)
{
	return (struct client *)(void *)((char *)cursor - offsetof(struct client, cursor));
}

static const char *const state_word[] = { "requesting", "answering", "streaming", "finishing",
					  "closing",	"resetting", "gone" };

void client_set_state(struct client *client, enum client_state state)
{
	/* States only advance, and the descriptor is closed only with nothing outstanding. */
	assert(state > client->state);
	assert(state != CLIENT_GONE || !zerocopy_outstanding(&client->zerocopy));
	log_debug("stream %s: client %s is %s, was %s", client->group->stream_name,
		  client->peer_text, state_word[state], state_word[client->state]);
	if (client->state == CLIENT_STREAMING && client->forwards_input)
		client_end_forwarding(client);
	if (client_is_active(client) && state > CLIENT_FINISHING) {
		window_leave(client->group->window, &client->cursor);
		if (client->group->callbacks->inactive)
			client->group->callbacks->inactive(client->group->argument);
	}
	client->state = state;
}

/* Return the time until the deadline; the shortest one if it is over. */
static struct timeval client_time_left(const struct client *client, uint64_t now_ns)
{
	uint64_t left_ns = client->deadline_ns > now_ns ? client->deadline_ns - now_ns : 0;

	return clock_timeval(left_ns / 1000 + 1);
}

/* libevent begins a timeout again with each event of the socket, so set what is left. Return: false if nothing is. */
static bool client_keep_deadline(struct client *client)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct timeval left = client_time_left(client, now_ns);

	return now_ns < client->deadline_ns && event_add(&client->event, &left) == 0;
}

bool client_set_deadline(struct client *client, uint64_t microseconds)
{
	client->deadline_ns = clock_monotonic_ns() + microseconds * 1000;
	return client_keep_deadline(client);
}

void client_clear_deadline(struct client *client)
{
	client->deadline_ns = 0;
	event_remove_timer(&client->event);
}

static void client_close(struct client *client)
{
	event_del(&client->event);
	client_set_state(client, CLIENT_GONE);
	stream_memory_leave(client->group->memory, &client->grant);
	zerocopy_close(&client->zerocopy);
	client->group->callbacks->gone(client->group->argument, client);
}

static void client_advance_reset(struct client *client)
{
	zerocopy_reap(&client->zerocopy);
	if (!zerocopy_outstanding(&client->zerocopy))
		/* model: close */
		client_close(client);
	else if (!event_pending(&client->event, EV_TIMEOUT, NULL))
		event_add(&client->event, &reset_check_interval);
}

static void client_check_reset(struct client *client)
{
	client_advance_reset(client);
	if (client->state != CLIENT_RESETTING)
		return;
	if (++client->overdue == OVERDUE_SECONDS)
		log_warning("stream %s: client %s: %u sends are not complete %u seconds after the "
			    "reset; their blocks stay pinned until they are",
			    client->group->stream_name, client->peer_text,
			    zerocopy_outstanding(&client->zerocopy), OVERDUE_SECONDS);
}

void client_set_reason(struct client *client, enum leave_reason reason, const char *text)
{
	client->leave = reason;
	client->reason = text ? text : leave_reason_text(reason);
}

void client_kick(struct client *client, enum leave_reason reason, const char *text)
{
	if (client->state >= CLIENT_RESETTING)
		return;
	client_set_reason(client, reason, text);
	/* model: kick */
	client_set_state(client, CLIENT_RESETTING);
	zerocopy_reset(&client->zerocopy);
	client_advance_reset(client);
}

/* Return true if the client was sent an answer, and is open only until its peer closes. */
static bool client_lingers(const struct client *client)
{
	return client->state == CLIENT_CLOSING && client->deadline_ns;
}

void client_fail(struct client *client, int error)
{
	/* A peer that does not read all of an answer resets the connection. */
	if (client_lingers(client)) {
		client_kick(client, client->leave, client->reason);
		return;
	}
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

void client_close_in_order(struct client *client)
{
	client_set_linger(client, false);
	client_close(client);
}

/* Close a client in CLOSING once the peer's kernel has acknowledged everything, or its peer has closed. */
static void client_close_if_acknowledged(struct client *client)
{
	bool waits = client_lingers(client) && !client->input_ended;

	if (!waits && !zerocopy_outstanding(&client->zerocopy) && !client_unacknowledged(client))
		client_close_in_order(client);
}

void client_shut_down(struct client *client)
{
	client_set_state(client, CLIENT_CLOSING);
	if (shutdown(client->zerocopy.fd, SHUT_WR)) {
		client_fail(client, errno);
		return;
	}
	client_close_if_acknowledged(client);
}

void client_finish(struct client *client)
{
	if (client->state == CLIENT_REQUESTING) {
		client_set_reason(client, LEAVE_STOPPING, NULL);
		client_close_in_order(client);
	} else if (client->state == CLIENT_ANSWERING || client_lingers(client)) {
		client_close_in_order(client);
	}
	if (client->state != CLIENT_STREAMING)
		return;
	client_set_state(client, CLIENT_FINISHING);
	client_send(client);
}

bool client_has_failed(struct client *client)
{
	socklen_t length = sizeof(int);
	int error = 0;

	if (getsockopt(client->zerocopy.fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error)
		client_fail(client, error);
	return error != 0;
}

/* @ready: as of client_poll(). Return: false if the connection has ended. */
static bool client_read(struct client *client, int ready)
{
	if (client->state == CLIENT_REQUESTING)
		client_read_request(client);
	if (client->state == CLIENT_REQUESTING)
		return true;
	return client->state < CLIENT_RESETTING && client_handle_input(client, ready);
}

/* The time for a request, for its answer, or for the peer to close is over. */
static void client_expire(struct client *client)
{
	if (client->state == CLIENT_ANSWERING) {
		client_kick(client, LEAVE_TIMED_OUT, "did not read the answer");
	} else if (client->state == CLIENT_CLOSING) {
		client_close_in_order(client);
	} else {
		client_expire_request(client);
		/* An event may have come with the timeout. */
		if (client_read(client, POLLIN) && client->state == CLIENT_CLOSING)
			client_close_if_acknowledged(client);
	}
}

void client_check_input(struct client *client)
{
	client_read(client, client->forwards_input ? client_poll(client, EV_READ) : POLLIN);
}

uint64_t client_proof_ns(const struct client *client, uint64_t now_ns)
{
	uint64_t proof_ns = client->input_end_ns + ORPHAN_NS;

	if (!client->input_ended || now_ns >= proof_ns)
		return 0;
	/* Data sent after the FIN was acknowledged: there is a socket. */
	if (client->stats.sent_bytes - client_unacknowledged(client) > client->input_end_sent)
		return 0;
	return proof_ns;
}

bool client_owes_nothing(const struct client *client)
{
	return client_is_active(client) && !window_block(client->group->window, &client->cursor) &&
	       !client_aside_is_left(&client->aside) && !client->preamble &&
	       !zerocopy_outstanding(&client->zerocopy) && !client_unacknowledged(client);
}

void client_release(struct client *client, enum leave_reason reason, const char *text)
{
	client_set_reason(client, reason, text);
	client_close_in_order(client);
}

/* Let more stay unsent if the peer keeps acknowledging. The bytes that were sent bound what it acknowledged. */
static bool client_raise_grant(struct client *client)
{
	const struct client_settings *settings = client->group->settings;
	struct stream_memory *memory = client->group->memory;
	uint64_t acknowledged = client->stats.sent_bytes, before = client->grant.bytes;

	if (stream_memory_raised(memory, settings, &client->grant, acknowledged) == before)
		return false;
	acknowledged -= client_unacknowledged(client);
	stream_memory_raise(memory, &client->grant,
			    stream_memory_raised(memory, settings, &client->grant, acknowledged),
			    acknowledged);
	return client->grant.bytes != before;
}

/* The socket has space. Adapt its grant; a socket that was never full needs no larger one. */
static void client_note_space(struct client *client)
{
	bool was_blocked = zerocopy_is_blocked(&client->zerocopy);

	zerocopy_unblock(&client->zerocopy);
	if (stream_memory_lower(client->group->memory, client->group->settings, &client->grant) ||
	    (was_blocked && client_raise_grant(client)))
		client_apply_grant(client);
}

static void client_socket_event(evutil_socket_t fd, short what, void *argument)
{
	struct client *client = argument;
	int ready;

	(void)fd;
	if (client->state == CLIENT_RESETTING) {
		if (what & EV_TIMEOUT)
			client_check_reset(client);
		else
			client_advance_reset(client);
		return;
	}
	if (client->deadline_ns && !client_keep_deadline(client)) {
		client_expire(client);
		return;
	}
	ready = client_poll(client, what);
	/*
	 * Look for an error of the connection first: a reset purges the write queue, and completions after
	 * it are no acknowledgements. Read the error queue before sending: it may free blocks and space.
	 */
	if (ready & (POLLIN | POLLHUP) && !client_read(client, ready))
		return;
	if (ready & POLLERR)
		zerocopy_reap(&client->zerocopy);
	if (ready & POLLOUT)
		client_note_space(client);
	if (client->state == CLIENT_CLOSING)
		client_close_if_acknowledged(client);
	else
		client_send(client);
}

bool client_is_half_closed(const struct client *client)
{
	return client->input_ended && client_is_active(client);
}

bool client_watch(struct client *client)
{
	struct timeval left = client_time_left(client, clock_monotonic_ns());
	const struct timeval *timeout = client->deadline_ns ? &left : NULL;

	if (client->state == CLIENT_RESETTING)
		timeout = &reset_check_interval;
	event_assign(&client->event, client->group->base, client->zerocopy.fd,
		     EV_READ | EV_WRITE | EV_ET | EV_PERSIST, client_socket_event, client);
	return event_add(&client->event, timeout) == 0;
}

/* Keep the text: a report of thousands of clients should not ask the kernel for each. */
static void client_note_endpoint(struct client *client, int fd)
{
	struct sockaddr_storage local;
	socklen_t length = sizeof(local);

	if (!getsockname(fd, (struct sockaddr *)&local, &length))
		address_format((const struct sockaddr *)&local, client->endpoint_text);
}

/* Wait for a request, or enter the window. Return: false without memory. */
static bool client_begin(struct client *client)
{
	const struct client_settings *settings = client->group->settings;
	struct history_answer answer;

	if (!client_watch(client))
		return false;
	client->is_http = settings->format == FORMAT_HTTP;
	if (client->is_http)
		return client_begin_request(client);
	client_find_start(client->group, NULL, &answer);
	return client_enter(client, &answer.place, settings->format == FORMAT_FRAMED);
}

void client_free_memory(struct client *client)
{
	client_aside_clear(&client->aside);
	shared_bytes_release(client->preamble);
	http_request_free(client->request);
	free(client->reason_memory);
	free(client->kick_memory);
	free(client);
}

struct client *client_create(const struct client_group *group, int fd, const struct sockaddr *peer,
			     socklen_t peer_length)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return NULL;
	}
	client->group = group;
	memcpy(&client->peer, peer, peer_length);
	address_format(peer, client->peer_text);
	client_note_endpoint(client, fd);
	client->joined_ns = clock_monotonic_ns();
	zerocopy_open(&client->zerocopy, fd, (enum zerocopy_mode)group->settings->zerocopy,
		      group->latency, group->callbacks->copy_state_changed, group->argument);
	stream_memory_join(group->memory, group->settings, &client->grant);
	client_set_socket_options(client);
	client_begin_forwarding(client);
	if (client_begin(client))
		return client;
	event_del(&client->event);
	zerocopy_close(&client->zerocopy);
	client_free_memory(client);
	return NULL;
}

void client_free(struct client *client)
{
	assert(client->state == CLIENT_GONE);
	client_free_memory(client);
}

void client_abandon(struct client *client)
{
	if (client->state == CLIENT_GONE) {
		client_free(client);
		return;
	}
	event_del(&client->event);
	if (client->input_turn.waits)
		stream_input_forget(client->group->input, &client->input_turn);
	if (client_is_active(client))
		window_leave(client->group->window, &client->cursor);
	stream_memory_leave(client->group->memory, &client->grant);
	zerocopy_abandon(&client->zerocopy);
	client_free_memory(client);
}

/* ---- reports ---- */

struct client_lag client_lag(const struct client *client, uint64_t now_ns)
{
	struct client_lag lag = { 0 };
	const struct block *block;

	if (!client_is_active(client))
		return lag;
	block = window_block(client->group->window, &client->cursor);
	lag.bytes = window_lag(client->group->window, &client->cursor);
	if (block)
		lag.ns = block_age(block, now_ns);
	return lag;
}

/* Return what the client gets. Before the request this is not known. */
static const char *client_format(const struct client *client)
{
	if (client->is_http)
		return client->cursor.framed ? "http framed" : "http";
	return client->cursor.framed ? "framed" : "raw";
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
		.endpoint = client->state < CLIENT_RESETTING ? client->endpoint_text : "",
		.section = client->group->section_name,
		.state = state_word[client->state],
		.joined_ns = client->joined_ns,
		.sequence = client->cursor.held ? client->cursor.held->sequence
						: client->cursor.sequence,
		.lag_bytes = lag.bytes,
		.lag_ns = lag.ns,
		.totals = { .stats = client->stats, .sends = client->zerocopy.stats },
		.outstanding = zerocopy_outstanding(&client->zerocopy),
		.pinned_blocks = completions_blocks(&client->zerocopy.completions),
		.unsent_limit = client->grant.bytes,
		.sending = way_word[zerocopy_probe_way(&client->zerocopy.probe)],
		.format = client_format(client),
	};
}
