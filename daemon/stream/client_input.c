// SPDX-License-Identifier: BSD-2-Clause
#include "stream/client_input.h"

#include "lib/clock.h"
#include "lib/interrupted.h"
#include "stream/client.h"
#include "stream/client_internal.h"
#include "stream/client_socket.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

/* Upper bound for one recv() that discards client input: more than any socket holds. */
#define INPUT_BYTES (1UL << 30)
/* Upper bound for these calls in one socket event. */
#define INPUT_READS 4

/*
 * SO_RCVBUF in bytes of a client whose input is forwarded. The kernel doubles it for its overhead: that is what
 * sockets begin with, and a peer that sends much cannot make it grow.
 */
#define INPUT_BUFFER (64 << 10)

/* Discard what the peer has sent. Return: the number of bytes, 0 at its end, or -1 with errno. */
static ssize_t client_drop(struct client *client)
{
	/* With MSG_TRUNC the kernel drops TCP data instead of copying it. */
	ssize_t n = REPEAT_INTERRUPTED(
		recv(client->zerocopy.fd, NULL, INPUT_BYTES, MSG_TRUNC | MSG_DONTWAIT));

	if (n > 0) {
		client->stats.received_bytes += (uint64_t)n;
		if (client->group->input)
			client->group->input->stats->discarded_bytes += (uint64_t)n;
	}
	return n;
}

void client_begin_forwarding(struct client *client)
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

void client_end_forwarding(struct client *client)
{
	stream_input_forget(client->group->input, &client->input_turn);
	client_drop(client);
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
	while (got < bytes && (n = REPEAT_INTERRUPTED(recv(client->zerocopy.fd, piece + got,
							   bytes - got, MSG_DONTWAIT))) > 0)
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

bool client_handle_input(struct client *client, int ready)
{
	return client_forwards_input(client) ? client_forward_input(client, ready)
					     : client_discard_input(client);
}

void client_read_input(struct input_turn *turn)
{
	struct client *client = (void *)((char *)turn - offsetof(struct client, input_turn));

	client_read_piece(client);
}
