// SPDX-License-Identifier: BSD-2-Clause
#include "stream/client.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "ring/ring.h"
#include "stream/client_options.h"
#include "stream/http_answer.h"

#include <assert.h>
#include <bsd/string.h>
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

/* Upper bound for one recv() that discards client input: more than any socket holds. */
#define INPUT_BYTES (1UL << 30)
/* Upper bound for these calls in one socket event. */
#define INPUT_READS 4

/*
 * SO_RCVBUF in bytes of a client whose input is forwarded. The kernel doubles it for its overhead: that is what
 * sockets begin with, and a peer that sends much cannot make it grow.
 */
#define INPUT_BUFFER (64 << 10)

#define KEEPALIVE_PROBES 3

/* Interval between probes of a half-closed peer that is silent. */
#define HALF_CLOSED_PROBE_SECONDS 5
/*
 * A kernel answers for a connection whose socket was closed, in FIN_WAIT2, as if it was alive: for
 * net.ipv4.tcp_fin_timeout, by default 60 seconds. Afterwards it answers a probe with an RST.
 */
#define ORPHAN_NS ((60 + HALF_CLOSED_PROBE_SECONDS + 1) * 1000000000ULL)

/* All completions should have arrived within this time after a reset. */
#define OVERDUE_SECONDS 5

/* Size of a buffer for a part of a request. */
#define REQUEST_BYTES 2048

/* Time that the peer has to close after it was sent an answer, in microseconds. */
#define ANSWER_LINGER_US 2000000

static const struct timeval reset_check_interval = { .tv_sec = 1 };

struct client *client_of(struct cursor *cursor)
{
	return (struct client *)(void *)((char *)cursor - offsetof(struct client, cursor));
}

static const char *const state_word[] = { "requesting", "answering", "streaming", "finishing",
					  "closing",	"resetting", "gone" };

/* Discard what the peer has sent. Return: the number of bytes, 0 at its end, or -1 with errno. */
static ssize_t client_drop(struct client *client)
{
	/* With MSG_TRUNC the kernel drops TCP data instead of copying it. */
	ssize_t n = recv(client->zerocopy.fd, NULL, INPUT_BYTES, MSG_TRUNC | MSG_DONTWAIT);

	if (n > 0) {
		client->stats.received_bytes += (uint64_t)n;
		if (client->group->input)
			client->group->input->stats->discarded_bytes += (uint64_t)n;
	}
	return n;
}

/* What was not read for the source is discarded. */
static void client_end_forwarding(struct client *client)
{
	stream_input_forget(client->group->input, &client->input_turn);
	client_drop(client);
}

static void client_set_state(struct client *client, enum client_state state)
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

static void client_set_option(const struct client *client, int level, int option, int value,
			      const char *name)
{
	if (setsockopt(client->zerocopy.fd, level, option, &value, sizeof(value)))
		log_debug("stream %s: client %s: %s: %s", client->group->stream_name,
			  client->peer_text, name, strerror(errno));
}

/* With @reset_on_close the connection is reset also if this process ends for any reason. */
static void client_set_linger(const struct client *client, bool reset_on_close)
{
	struct linger linger = { .l_onoff = reset_on_close, .l_linger = 0 };

	setsockopt(client->zerocopy.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static int at_least_one_second(uint64_t microseconds)
{
	return microseconds < 1000000 ? 1 : (int)(microseconds / 1000000);
}

static void client_set_keepalive(const struct client *client)
{
	uint64_t keepalive = client->group->settings->keepalive;

	if (!keepalive)
		return;
	client_set_option(client, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
	client_set_option(client, IPPROTO_TCP, TCP_KEEPIDLE, at_least_one_second(keepalive),
			  "TCP_KEEPIDLE");
	client_set_option(client, IPPROTO_TCP, TCP_KEEPINTVL,
			  at_least_one_second(keepalive / KEEPALIVE_PROBES), "TCP_KEEPINTVL");
	client_set_option(client, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES, "TCP_KEEPCNT");
}

/* Find out soon, also without `keepalive`, that the peer's kernel has no such connection any more. */
static void client_probe_half_closed(const struct client *client)
{
	uint64_t keepalive = client->group->settings->keepalive;
	int seconds = keepalive ? at_least_one_second(keepalive) : HALF_CLOSED_PROBE_SECONDS;

	if (seconds > HALF_CLOSED_PROBE_SECONDS)
		seconds = HALF_CLOSED_PROBE_SECONDS;
	client_set_option(client, IPPROTO_TCP, TCP_KEEPIDLE, seconds, "TCP_KEEPIDLE");
	client_set_option(client, IPPROTO_TCP, TCP_KEEPINTVL, seconds, "TCP_KEEPINTVL");
	client_set_option(client, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES, "TCP_KEEPCNT");
	client_set_option(client, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
}

/* The kernel wakes the event loop if the socket has space by the new value. */
static void client_apply_grant(const struct client *client)
{
	client_set_option(client, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)client->grant.bytes,
			  "TCP_NOTSENT_LOWAT");
}

/* Values that the kernel accepted when the endpoint was opened, but perhaps not now. */
static void client_set_refusable_options(const struct client *client)
{
	char value[CLIENT_OPTION_TEXT];
	const char *refused;

	if (!client_options_set(client->zerocopy.fd, client->group->settings, &refused, value))
		log_debug("stream %s: client %s: %s = %s: %s", client->group->stream_name,
			  client->peer_text, refused, value, strerror(errno));
}

static void client_set_socket_options(const struct client *client)
{
	const struct client_settings *settings = client->group->settings;

	client_set_linger(client, true);
	client_set_option(client, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
	client_apply_grant(client);
	if (settings->send_buffer != SETTING_AUTO)
		client_set_option(client, SOL_SOCKET, SO_SNDBUF, (int)settings->send_buffer,
				  "SO_SNDBUF");
	if (settings->user_timeout)
		client_set_option(client, IPPROTO_TCP, TCP_USER_TIMEOUT,
				  (int)((settings->user_timeout + 999) / 1000), "TCP_USER_TIMEOUT");
	client_set_keepalive(client);
	client_set_refusable_options(client);
}

static void client_begin_forwarding(struct client *client)
{
	const struct client_settings *settings = client->group->settings;

	/* What follows a request is discarded. */
	client->forwards_input =
		settings->input == CLIENT_INPUT_SOURCE && settings->format != FORMAT_HTTP;
	client->input_unit = settings->input_size;
	if (!client->forwards_input)
		return;
	client_set_option(client, SOL_SOCKET, SO_RCVBUF, INPUT_BUFFER, "SO_RCVBUF");
	/* Urgent data counts like other data, and does not hide what follows from FIONREAD. */
	client_set_option(client, SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE");
}

/* libevent begins a timeout again with each event of the socket, so set what is left. Return: false if nothing is. */
static bool client_keep_deadline(struct client *client)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct timeval left;

	if (now_ns >= client->deadline_ns)
		return false;
	left = clock_timeval((client->deadline_ns - now_ns) / 1000 + 1);
	return event_add(&client->event, &left) == 0;
}

/* Return: false without memory. */
static bool client_set_deadline(struct client *client, uint64_t microseconds)
{
	client->deadline_ns = clock_monotonic_ns() + microseconds * 1000;
	return client_keep_deadline(client);
}

static void client_clear_deadline(struct client *client)
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

static void client_set_reason(struct client *client, enum leave_reason reason, const char *text)
{
	client->leave = reason;
	client->reason = text ? text : leave_reason_text(reason);
}

void client_kick(struct client *client, enum leave_reason reason, const char *text)
{
	if (client->state >= CLIENT_RESETTING)
		return;
	client_set_reason(client, reason, text);
	client_set_state(client, CLIENT_RESETTING);
	zerocopy_reset(&client->zerocopy);
	client_advance_reset(client);
}

/* Return true if the client was sent an answer, and is open only until its peer closes. */
static bool client_lingers(const struct client *client)
{
	return client->state == CLIENT_CLOSING && client->deadline_ns;
}

static void client_fail(struct client *client, int error)
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

/* Return the bytes that the peer's kernel has not acknowledged. After SHUT_WR the FIN counts as one. */
static uint64_t client_unacknowledged(const struct client *client)
{
	int bytes = 0;

	return ioctl(client->zerocopy.fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (uint64_t)bytes : 0;
}

/* Close a client that nothing is outstanding for. The kernel sends what it has. */
static void client_close_in_order(struct client *client)
{
	client_set_linger(client, false);
	client_close(client);
}

/* Return the bytes that the peer has sent and that were not read. */
static size_t client_unread(const struct client *client)
{
	int bytes = 0;

	return ioctl(client->zerocopy.fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

/* Close a client in CLOSING once the peer's kernel has acknowledged everything, or its peer has closed. */
static void client_close_if_acknowledged(struct client *client)
{
	bool waits = client_lingers(client) && !client->input_ended;

	if (!waits && !zerocopy_outstanding(&client->zerocopy) && !client_unacknowledged(client))
		client_close_in_order(client);
}

/* The reason must be set. */
static void client_shut_down(struct client *client)
{
	client_set_state(client, CLIENT_CLOSING);
	if (shutdown(client->zerocopy.fd, SHUT_WR)) {
		client_fail(client, errno);
		return;
	}
	client_close_if_acknowledged(client);
}

/*
 * Shorten the request to the blocks that may be pinned, or forbid pins if even the first may not be. A
 * block that has a pin already costs nothing, so that all clients can pin the same blocks. A copy of the
 * rest of a block goes back by free() when the client has sent it, so no send may pin it.
 */
static void limit_pins(struct zerocopy_request *request)
{
	const struct block *block = request->first;
	uint32_t allowance, run = 0;

	if (block_is_copy(block))
		return;
	allowance = ring_pin_allowance(block->ring);
	for (; run < request->blocks && (block->pins || allowance); run++, block = block->next) {
		if (!block->pins)
			allowance--;
	}
	request->may_pin = run > 0;
	if (request->may_pin)
		request->blocks = run;
}

static void client_count_sent(struct client *client, uint64_t bytes)
{
	struct sent_counter *all = client->group->sent;

	client->stats.sent_bytes += bytes;
	all->bytes += bytes;
	rate_note(&all->rate, all->bytes, clock_monotonic_ns());
}

/* Prepare a frame that is no block, at the place of the client in the stream. */
static void client_set_aside(struct client *client, enum frame_flag flag, uint32_t epoch,
			     struct shared_bytes *payload)
{
	const struct client_group *group = client->group;
	const struct frame frame = {
		.flags = (uint16_t)flag,
		.epoch = epoch,
		.sequence = client->cursor.sequence,
		.position = window_position(group->window, &client->cursor),
	};

	client_aside_set(&client->aside, frame, payload);
}

/* Return the epoch of its current block, or of the next one. */
static uint32_t client_epoch(const struct client *client)
{
	const struct client_group *group = client->group;
	const struct block *block = window_block(group->window, &client->cursor);

	return block ? frame_epoch(block->header) : group->frames->epoch;
}

/* Take the preamble as it is now. Return: false without memory. */
static bool client_take_preamble(struct client *client)
{
	const struct client_group *group = client->group;
	struct shared_bytes *preamble;

	client->preamble_is_late = false;
	if (!stream_preamble_get(group->preamble, window_position(group->window, &client->cursor),
				 &preamble))
		return false;
	client->preamble = shared_bytes_keep(preamble);
	client->preamble_epoch = preamble ? client_epoch(client) : 0;
	return true;
}

/* Return: as client_take_preamble(). */
static bool client_begin_preamble(struct client *client)
{
	const struct stream_preamble *preamble = client->group->preamble;

	client->preamble_is_late =
		preamble && !client->catches_up && stream_preamble_is_late(preamble);
	return !preamble || client->preamble_is_late || client_take_preamble(client);
}

/* Prepare the metadata of the next block, and note where it is due again. */
static void client_set_metadata_aside(struct client *client)
{
	const struct stream_frames *frames = client->group->frames;
	uint32_t epoch = client_epoch(client);
	struct shared_bytes *metadata = stream_frames_metadata_of(frames, epoch);

	client_set_aside(client, FRAME_METADATA, epoch, metadata);
	shared_bytes_release(metadata);
	client->metadata_due = CLIENT_NOT_DUE;
	if (epoch == frames->epoch)
		return;
	client->metadata_due = stream_frames_next_run(frames, client->cursor.sequence);
	client_send_metadata(client);
}

/* Find where a client begins. @start: NULL: as its section says, which is always found */
static enum history_result client_find_start(const struct client_group *group,
					     const struct client_start *start,
					     struct history_answer *answer)
{
	*answer = (struct history_answer){ .place.sequence = window_head(group->window) };
	if (!group->history)
		return HISTORY_FOUND;
	return stream_history_find(group->history, start ? start : &group->settings->start, answer);
}

/* Enter the window at @place, and prepare what goes before the first block. Return: false without memory. */
static bool client_enter(struct client *client, const struct history_place *place, bool framed)
{
	const struct client_group *group = client->group;

	client->cursor.framed = framed;
	client->catches_up = place->sequence != window_head(group->window);
	client->metadata_due = CLIENT_NOT_DUE;
	window_join_at(group->window, &client->cursor, place->sequence);
	if (!place->resumes && !client_begin_preamble(client)) {
		window_leave(group->window, &client->cursor);
		return false;
	}
	client_set_state(client, CLIENT_STREAMING);
	/* At once, so that whatever the client loses from now on is a gap behind this frame. */
	if (framed)
		client_set_metadata_aside(client);
	return true;
}

static void client_set_preamble_aside(struct client *client)
{
	if (client->cursor.framed)
		client_set_aside(client, FRAME_PREAMBLE, client->preamble_epoch, client->preamble);
	else
		client_aside_set_raw(&client->aside, client->preamble);
	shared_bytes_release(client->preamble);
	client->preamble = NULL;
}

/* Between two blocks: prepare what belongs there, if anything does. @first: the next block, or NULL */
static void client_prepare_aside(struct client *client, const struct block *first)
{
	bool framed = client->cursor.framed;

	if (client->end_sent || client_aside_is_left(&client->aside) || !client_is_active(client) ||
	    !window_is_between(&client->cursor))
		return;
	if (client->preamble_is_late && first)
		client_take_preamble(client); /* a file, which needs no memory */
	if (framed && client->cursor.sequence >= client->metadata_due) {
		client_set_metadata_aside(client);
	} else if (client->preamble) {
		client_set_preamble_aside(client);
	} else if (framed && client->state == CLIENT_FINISHING && !client->end_sent && !first) {
		client->end_sent = true;
		client_set_aside(client, FRAME_END, client->group->frames->epoch, NULL);
	}
}

/* Return the block that is next; NULL if there is none, or if the end was announced. */
static struct block *client_next_block(const struct client *client)
{
	if (client->end_sent || !client_is_active(client))
		return NULL;
	return window_block(client->group->window, &client->cursor);
}

/* Return how many blocks may be sent together: none behind a place where metadata is due. */
static uint32_t client_most_blocks(const struct client *client)
{
	uint64_t before_metadata = client->metadata_due - client->cursor.sequence;

	if (client->metadata_due <= client->cursor.sequence || before_metadata > ZEROCOPY_BLOCKS)
		return ZEROCOPY_BLOCKS;
	return (uint32_t)before_metadata;
}

/* Send blocks, up to @max_bytes. Return: as zerocopy_send(). */
static ssize_t client_send_blocks(struct client *client, struct block *first, uint64_t max_bytes)
{
	struct window *window = client->group->window;
	struct zerocopy_request request = {
		.first = first,
		.offset = client->cursor.offset,
		.blocks =
			window_run(window, &client->cursor, client_most_blocks(client), max_bytes),
		.max_bytes = max_bytes,
		.framed = client->cursor.framed,
	};
	ssize_t n;

	limit_pins(&request);
	n = zerocopy_send(&client->zerocopy, &request);
	if (n > 0)
		window_advance(window, &client->cursor, (uint64_t)n);
	return n;
}

static void client_report_progress(const struct client *client)
{
	const struct client_group *group = client->group;

	if (group->settings->lag_policy == LAG_POLICY_BLOCK && group->callbacks->progressed)
		group->callbacks->progressed(group->argument);
}

/* All is sent. */
static void client_end_output(struct client *client)
{
	if (client->state == CLIENT_ANSWERING) {
		client_set_deadline(client, ANSWER_LINGER_US);
		client_shut_down(client);
	} else if (client->state == CLIENT_FINISHING) {
		client_set_reason(client, LEAVE_END_OF_STREAM, NULL);
		client_shut_down(client);
	}
}

void client_send(struct client *client)
{
	const struct client_group *group = client->group;
	uint64_t budget = zerocopy_budget(&client->zerocopy, group->budget_bytes,
					  group->uncopied_budget_bytes);
	uint64_t sent = 0;

	while (client_is_active(client) || client->state == CLIENT_ANSWERING) {
		struct block *first = client_next_block(client);
		ssize_t n;

		client_prepare_aside(client, first);
		if (!first && !client_aside_is_left(&client->aside)) {
			client->catches_up = false;
			client_end_output(client);
			return;
		}
		if (zerocopy_is_blocked(&client->zerocopy))
			return;
		if (sent >= budget) {
			group->callbacks->requeue(group->argument, client);
			return;
		}
		if (client_aside_is_left(&client->aside))
			n = client_aside_send(&client->aside, &client->zerocopy);
		else
			n = client_send_blocks(client, first, budget - sent);
		if (n > 0) {
			sent += (uint64_t)n;
			client_count_sent(client, (uint64_t)n);
			client_report_progress(client);
		} else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
			client_fail(client, errno);
		}
	}
}

void client_send_metadata(struct client *client)
{
	uint64_t head = window_head(client->group->window);

	if (client->cursor.framed && client->metadata_due > head)
		client->metadata_due = head;
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

/* Fail a client whose connection has an error. After the FIN of the peer, recv() does not report a reset. */
static bool client_has_failed(struct client *client)
{
	socklen_t length = sizeof(int);
	int error = 0;

	if (getsockopt(client->zerocopy.fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error)
		client_fail(client, error);
	return error != 0;
}

/* The peer has shut down its sending side. Return: false if the client ends for that. */
static bool client_handle_half_close(struct client *client)
{
	const struct client_group *group = client->group;

	client->input_end_ns = clock_monotonic_ns();
	client->input_end_sent = client->stats.sent_bytes;
	if (!client_is_active(client))
		return true;
	if (group->settings->half_close == HALF_CLOSE_END) {
		client_set_reason(client, LEAVE_HALF_CLOSED, NULL);
		client_shut_down(client);
		return false;
	}
	client_probe_half_closed(client);
	group->callbacks->half_closed(group->argument, client);
	return true;
}

/* Return true if what the peer sends goes to the source now. */
static bool client_forwards_input(const struct client *client)
{
	return client->forwards_input && client->state == CLIENT_STREAMING;
}

/* The peer has shut down its sending side. Return: false if the client ends, for that or for an error. */
static bool client_handle_input_end(struct client *client)
{
	bool had_ended = client->input_ended;

	client->input_ended = true;
	return !client_has_failed(client) && (had_ended || client_handle_half_close(client));
}

/* Discard what the peer sent. Return: false if the connection has ended. */
static bool client_discard_input(struct client *client)
{
	/* Bytes for the source may be left in front of the end. */
	bool at_end = client->input_ended && !client->forwards_input;

	for (int i = 0; i < INPUT_READS && !at_end; i++) {
		ssize_t n = client_drop(client);

		if (n == 0) {
			at_end = true;
		} else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			return true;
		} else if (n < 0 && errno != EINTR) {
			client_fail(client, errno);
			return false;
		}
	}
	return !at_end || client_handle_input_end(client);
}

/* Read @bytes that are there. Return: as recv() */
static ssize_t client_receive(const struct client *client, char *piece, size_t bytes)
{
	size_t got = 0;
	ssize_t n = 0;

	/* recv() stops in front of urgent data. */
	while (got < bytes &&
	       (n = recv(client->zerocopy.fd, piece + got, bytes - got, MSG_DONTWAIT)) > 0)
		got += (size_t)n;
	return got ? (ssize_t)got : n;
}

/* Read one piece for the source, if it has space, or wait for that. Return: as client_discard_input(). */
static bool client_read_piece(struct client *client)
{
	struct stream_input *input = client->group->input;
	size_t unread = client_unread(client);
	size_t bytes = stream_input_piece(input, &client->input_turn, unread, client->input_unit);
	char piece[MAX_CLIENT_INPUT];
	ssize_t n = 0;

	if (bytes)
		n = client_receive(client, piece, bytes);
	if (n > 0) {
		client->stats.received_bytes += (uint64_t)n;
		unread -= (size_t)n;
		stream_input_add(input, piece, (size_t)n);
	} else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
		client_fail(client, errno);
		return false;
	}
	if (unread && unread >= client->input_unit)
		stream_input_wait(input, &client->input_turn);
	return true;
}

/*
 * The end and errors of the connection are noticed while bytes in front of them are unread.
 * @ready: as of client_poll(). Return: as client_discard_input()
 */
static bool client_forward_input(struct client *client, int ready)
{
	return client_read_piece(client) &&
	       (!(ready & (POLLRDHUP | POLLHUP)) || client_handle_input_end(client));
}

static bool client_handle_input(struct client *client, int ready)
{
	return client_forwards_input(client) ? client_forward_input(client, ready)
					     : client_discard_input(client);
}

void client_read_input(struct input_turn *turn)
{
	struct client *client = (void *)((char *)turn - offsetof(struct client, input_turn));

	client_read_piece(client);
}

/*
 * Return what poll() reports for the socket. libevent reports a non-empty error queue as EV_READ | EV_WRITE,
 * as if the socket had space. poll() is cheaper than a send that fails, and sending into a little space
 * would waste a packet.
 */
static int client_poll(const struct client *client, short what)
{
	struct pollfd socket = { .fd = client->zerocopy.fd,
				 .events = POLLIN | POLLRDHUP | POLLOUT };

	if (!(what & EV_READ))
		return POLLOUT;
	if (poll(&socket, 1, 0) < 0)
		return POLLIN | POLLERR | POLLOUT;
	return socket.revents;
}

/* ---- requests ---- */

/* Answer with something else than the feed, and end. @answer: belongs to the client from now on; NULL: no memory */
static void client_answer(struct client *client, enum http_code code, struct shared_bytes *answer)
{
	if (!answer) {
		client_kick(client, LEAVE_ERROR, "no memory for an answer");
		return;
	}
	client->group->http_answers[code]++;
	client_set_reason(client, code <= HTTP_CODE_NO_CONTENT ? LEAVE_ANSWERED : LEAVE_REFUSED,
			  code <= HTTP_CODE_NO_CONTENT ? NULL : http_code_text(code));
	client_set_state(client, CLIENT_ANSWERING);
	client_aside_put_answer(&client->aside, answer);
	shared_bytes_release(answer);
	client_set_deadline(client, client->group->settings->request_timeout);
	client_send(client);
}

static void client_refuse(struct client *client, struct http_wish *wish, enum http_code code,
			  const char *problem, const struct block_name *oldest)
{
	wish->code = code;
	strlcpy(wish->problem, problem, sizeof(wish->problem));
	client_answer(client, code, http_answer_error(wish, oldest));
}

static void client_refuse_start(struct client *client, struct http_wish *wish,
				enum history_result result, const struct block_name *oldest)
{
	if (result == HISTORY_GONE)
		client_refuse(client, wish, HTTP_CODE_GONE,
			      "the block after this one is not kept any more; start=oldest begins "
			      "with the oldest one",
			      oldest);
	else
		client_refuse(client, wish, HTTP_CODE_CONFLICT,
			      "there is no such block: it has another epoch, or is still to come",
			      oldest);
}

/* Return the head of the answer for a feed that begins at @place; NULL without memory. */
static struct shared_bytes *client_make_feed_head(const struct client_group *group,
						  const struct history_place *place)
{
	struct block_name first = { .epoch = group->frames->epoch, .sequence = place->sequence };

	if (place->sequence != window_head(group->window))
		first.epoch = frame_epoch(window_block_at(group->window, place->sequence)->header);
	return http_answer_feed(&first);
}

static void client_begin_feed(struct client *client, struct http_wish *wish,
			      const struct history_place *place)
{
	const struct client_group *group = client->group;
	struct shared_bytes *head = client_make_feed_head(group, place);

	if (!head || !client_enter(client, place, wish->framed)) {
		shared_bytes_release(head);
		client_refuse(client, wish, HTTP_CODE_SERVICE_UNAVAILABLE, "no memory for the feed",
			      NULL);
		return;
	}
	client_clear_deadline(client);
	client_aside_put_answer(&client->aside, head);
	shared_bytes_release(head);
	group->http_answers[HTTP_CODE_OK]++;
	group->callbacks->streaming(group->argument, client);
}

/* Return true if the client would have to skip at once what it asks for. */
static bool client_starts_too_early(const struct client *client, const struct http_wish *wish)
{
	return wish->has_start && wish->start.kind != CLIENT_START_LIVE &&
	       client->group->settings->lag_policy == LAG_POLICY_LATEST;
}

static void client_serve_feed(struct client *client, struct http_wish *wish)
{
	const struct client_group *group = client->group;
	struct history_answer answer;
	enum history_result result =
		client_find_start(group, wish->has_start ? &wish->start : NULL, &answer);

	if (client_starts_too_early(client, wish))
		client_refuse(client, wish, HTTP_CODE_BAD_REQUEST,
			      "start: expected live under lag-policy = latest", NULL);
	else if (result != HISTORY_FOUND)
		client_refuse_start(client, wish, result, &answer.oldest);
	else if (wish->head_only)
		client_answer(client, HTTP_CODE_OK, client_make_feed_head(group, &answer.place));
	else
		client_begin_feed(client, wish, &answer.place);
}

/* Return the answer to a request that is not for the feed; NULL without memory. */
static struct shared_bytes *client_make_answer(const struct client *client,
					       const struct http_wish *wish)
{
	if (wish->code == HTTP_CODE_NO_CONTENT)
		return http_answer_methods();
	if (wish->code != HTTP_CODE_OK)
		return http_answer_error(wish, NULL);
	return http_answer_info(client->group->frames->metadata, wish->head_only);
}

/* The request is decided. */
static void client_serve(struct client *client)
{
	struct http_wish wish = *http_request_wish(client->request);

	http_request_free(client->request);
	client->request = NULL;
	if (wish.code == HTTP_CODE_OK && wish.resource == HTTP_RESOURCE_FEED)
		client_serve_feed(client, &wish);
	else
		client_answer(client, wish.code, client_make_answer(client, &wish));
	log_debug("stream %s: client %s: answered %s%s%s", client->group->stream_name,
		  client->peer_text, http_code_text(wish.code), *wish.problem ? ": " : "",
		  wish.problem);
}

/* The peer has shut down its sending side before its request was complete. */
static void client_handle_cut_request(struct client *client)
{
	if (client_has_failed(client))
		return;
	if (http_request_is_empty(client->request)) {
		client_set_reason(client, LEAVE_HALF_CLOSED,
				  "closed by the peer without a request");
		client_close_in_order(client);
		return;
	}
	http_request_cut(client->request);
	client_serve(client);
}

/* Read up to the end of the request, or of what has come. */
static void client_read_request(struct client *client)
{
	char bytes[REQUEST_BYTES];

	while (client->state == CLIENT_REQUESTING) {
		ssize_t n = recv(client->zerocopy.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n > 0) {
			if (http_request_feed(client->request, bytes, (size_t)n))
				client_serve(client);
		} else if (n == 0) {
			client_handle_cut_request(client);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		} else if (errno != EINTR) {
			client_fail(client, errno);
		}
	}
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
		http_request_expire(client->request);
		client_serve(client);
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

/* Keep the text: a report of thousands of clients should not ask the kernel for each. */
static void client_note_endpoint(struct client *client, int fd)
{
	struct sockaddr_storage local;
	socklen_t length = sizeof(local);

	if (!getsockname(fd, (struct sockaddr *)&local, &length))
		address_format((const struct sockaddr *)&local, client->endpoint_text);
}

/* Wait for a request, or enter the window; @place: as of client_create(). Return: false without memory. */
static bool client_begin(struct client *client, const struct history_place *place)
{
	const struct client_settings *settings = client->group->settings;
	struct history_answer answer;

	if (event_add(&client->event, NULL))
		return false;
	client->is_http = settings->format == FORMAT_HTTP;
	if (!client->is_http) {
		client_find_start(client->group, NULL, &answer);
		return client_enter(client, place ? place : &answer.place,
				    settings->format == FORMAT_FRAMED);
	}
	client->request = http_request_create();
	return client->request && client_set_deadline(client, settings->request_timeout);
}

struct client *client_create(const struct client_group *group, int fd, const struct sockaddr *peer,
			     socklen_t peer_length, const struct history_place *place)
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
	event_assign(&client->event, group->base, fd, EV_READ | EV_WRITE | EV_ET | EV_PERSIST,
		     client_socket_event, client);
	if (client_begin(client, place))
		return client;
	event_del(&client->event);
	zerocopy_close(&client->zerocopy);
	http_request_free(client->request);
	free(client);
	return NULL;
}

void client_free(struct client *client)
{
	assert(client->state == CLIENT_GONE);
	client_aside_clear(&client->aside);
	shared_bytes_release(client->preamble);
	http_request_free(client->request);
	free(client);
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
