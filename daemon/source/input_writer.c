// SPDX-License-Identifier: BSD-2-Clause
#include "source/input_writer.h"

#include "lib/interrupted.h"
#include "lib/state.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* Send buffer of a connection in bytes: as much as a pipe holds. The kernel's own may grow to megabytes. */
#define SEND_BUFFER (64 << 10)

static void input_writer_due(evutil_socket_t fd, short what, void *argument)
{
	struct input_writer *writer = argument;

	(void)fd;
	(void)what;
	writer->writable(writer->argument);
}

void input_writer_init(struct input_writer *writer, struct event_base *base,
		       void (*writable)(void *argument), void *argument)
{
	*writer = (struct input_writer){
		.base = base, .writable = writable, .argument = argument, .fd = -1
	};
}

static void input_writer_open(struct input_writer *writer, int fd, bool is_socket)
{
	input_writer_close(writer);
	writer->fd = fd;
	writer->is_socket = is_socket;
	writer->broken = false;
	event_assign(&writer->event, writer->base, fd, EV_WRITE, input_writer_due, writer);
}

void input_writer_open_pipe(struct input_writer *writer, int fd)
{
	input_writer_open(writer, fd, false);
}

void input_writer_open_socket(struct input_writer *writer, int fd)
{
	int bytes = SEND_BUFFER, on = 1;

	/* Both may fail. Commands are small: with Nagle's algorithm the second one waits for an acknowledgement. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	input_writer_open(writer, fd, true);
}

/* Return: -1 with errno set if nothing was written. */
static ssize_t input_writer_try(const struct input_writer *writer, const void *bytes, size_t length)
{
	return REPEAT_INTERRUPTED(
		writer->is_socket ? send(writer->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT)
				  : write(writer->fd, bytes, length));
}

ssize_t input_writer_write(struct input_writer *writer, const void *bytes, size_t length)
{
	ssize_t n = -1;

	errno = EPIPE;
	if (!writer->broken)
		n = input_writer_try(writer, bytes, length);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		n = 0;
	writer->broken = n < 0;
	/* Without memory for the event the source counts as one that does not read. */
	if (n >= 0 && (size_t)n < length && event_add(&writer->event, NULL)) {
		writer->broken = true;
		errno = ENOMEM;
		return -1;
	}
	return n;
}

void input_writer_close(struct input_writer *writer)
{
	if (writer->fd < 0)
		return;
	event_del(&writer->event);
	if (!writer->is_socket)
		close(writer->fd);
	writer->fd = -1;
}

/* Open again. @fd: the pipe, or the socket of the input. @is_full: it waits for the peer to read */
static void input_writer_reopen(struct input_writer *writer, struct state *state, int fd,
				bool is_full)
{
	bool broken = writer->broken;

	if (fd < 0) {
		state_fail(state, "there is nothing to write to");
		return;
	}
	input_writer_open(writer, fd, writer->is_socket);
	writer->broken = broken;
	if (is_full && event_add(&writer->event, NULL))
		state_fail(state, "no memory");
}

void input_writer_transfer(struct input_writer *writer, struct state *state, int fd)
{
	bool is_open = input_writer_is_open(writer);
	bool is_full = is_open && event_pending(&writer->event, EV_WRITE, NULL);
	int pipe = writer->is_socket ? -1 : writer->fd;

	state_enter(state, "writer");
	state_bool(state, "is_open", &is_open);
	state_bool(state, "is_socket", &writer->is_socket);
	state_bool(state, "broken", &writer->broken);
	state_bool(state, "is_full", &is_full);
	state_descriptor(state, "pipe", &pipe);
	if (!state_is_saving(state) && is_open)
		input_writer_reopen(writer, state, writer->is_socket ? fd : pipe, is_full);
	state_leave(state);
	if (!state_is_saving(state) && pipe >= 0 && writer->fd != pipe)
		close(pipe);
}
