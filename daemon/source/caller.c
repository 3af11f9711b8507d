// SPDX-License-Identifier: BSD-2-Clause
/*
 * The head of an answer is read by MSG_PEEK first, so that no byte of the stream is taken off the socket with it: the
 * owner of the connection reads these right into its blocks.
 */
#include "source/caller.h"

#include "lib/http_response.h"
#include "source/dialer.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Time for an answer. */
static const struct timeval answer_timeout = { .tv_sec = 10 };

/* Bytes of a head that are looked at together, and of all of it. */
#define PEEK_BYTES 4096U
#define MAX_HEAD_BYTES (64U << 10)

struct caller {
	struct event_base *base;
	const struct input *input;
	void (*connected)(void *argument, int fd, const char *error);
	void *argument;
	struct dialer *dialer; /* while connecting */
	int fd;
	char *request; /* NULL: nothing is asked for */
	size_t request_bytes, sent;
	struct http_response *response;
	struct event event; /* of fd */
	const unsigned char *peeked;
	size_t peeked_bytes, head_bytes; /* of what was peeked at: all, and up to the stream */
	size_t read_bytes;		 /* of the answer */
	char error[HTTP_RESPONSE_ERROR];
};

static void caller_finish(struct caller *caller, const char *error)
{
	int fd = caller->fd;

	event_del(&caller->event);
	if (error && fd >= 0)
		close(fd);
	caller->fd = -1;
	caller->connected(caller->argument, error ? -1 : fd, error);
}

/* Note where the stream begins. The bytes themselves stay in the socket. */
static bool caller_find_stream(void *argument, const unsigned char *bytes, size_t length)
{
	struct caller *caller = argument;

	(void)length;
	caller->head_bytes = (size_t)(bytes - caller->peeked);
	return false;
}

/* Take what belongs to the head off the socket. Return: false after an error. */
static bool caller_take_head(struct caller *caller)
{
	unsigned char taken[PEEK_BYTES];
	ssize_t n = recv(caller->fd, taken, caller->head_bytes, 0);

	caller->read_bytes += caller->head_bytes;
	return n == (ssize_t)caller->head_bytes;
}

/* Return: NULL while the answer is incomplete or right, or what is wrong. @done: out */
static const char *caller_parse(struct caller *caller, const unsigned char *bytes, size_t length,
				bool *done)
{
	enum http_response_state state;

	caller->peeked = bytes;
	caller->head_bytes = length;
	state = http_response_feed(caller->response, (const char *)bytes, length);
	*done = state != HTTP_RESPONSE_HEAD;
	if (state == HTTP_RESPONSE_REFUSED || state == HTTP_RESPONSE_BAD)
		return http_response_error(caller->response, caller->error);
	if (state == HTTP_RESPONSE_COMPLETE)
		return "the answer is empty";
	if (*done && http_response_is_chunked(caller->response))
		return "the server answers in chunks to a request by HTTP/1.0";
	if (!length)
		return "the server closed the connection without an answer";
	if (length && !caller_take_head(caller))
		return "the head of the answer cannot be read";
	return caller->read_bytes > MAX_HEAD_BYTES ? "the head of the answer is too long" : NULL;
}

static void caller_receive(struct caller *caller)
{
	unsigned char bytes[PEEK_BYTES];
	ssize_t n = recv(caller->fd, bytes, sizeof(bytes), MSG_PEEK);
	const char *wrong;
	bool done;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		caller_finish(caller, strerror(errno));
		return;
	}
	wrong = caller_parse(caller, bytes, (size_t)n, &done);
	if (wrong || done)
		caller_finish(caller, wrong);
}

static void caller_readable(evutil_socket_t fd, short what, void *argument)
{
	struct caller *caller = argument;

	(void)fd;
	if (what & EV_TIMEOUT)
		caller_finish(caller, "the server does not answer");
	else
		caller_receive(caller);
}

/* Return: false without memory. */
static bool caller_await_answer(struct caller *caller)
{
	event_assign(&caller->event, caller->base, caller->fd, EV_READ | EV_PERSIST,
		     caller_readable, caller);
	return !event_add(&caller->event, &answer_timeout);
}

/* Send what is left of the request. Return: false after an error. */
static bool caller_send(struct caller *caller)
{
	while (caller->sent < caller->request_bytes) {
		ssize_t n = send(caller->fd, caller->request + caller->sent,
				 caller->request_bytes - caller->sent, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		caller->sent += (size_t)n;
	}
	return true;
}

static void caller_writable(evutil_socket_t fd, short what, void *argument)
{
	struct caller *caller = argument;

	(void)fd;
	if (what & EV_TIMEOUT) {
		caller_finish(caller, "the server does not take the request");
		return;
	}
	if (!caller_send(caller)) {
		caller_finish(caller, strerror(errno));
		return;
	}
	if (caller->sent < caller->request_bytes)
		return;
	event_del(&caller->event);
	if (!caller_await_answer(caller))
		caller_finish(caller, "no memory");
}

static void caller_connected(void *argument, int fd, const char *error)
{
	struct caller *caller = argument;

	if (fd < 0 || !caller->request) {
		caller->fd = fd;
		caller_finish(caller, fd < 0 ? error : NULL);
		return;
	}
	dialer_cancel(caller->dialer);
	caller->dialer = NULL;
	caller->fd = fd;
	event_assign(&caller->event, caller->base, fd, EV_WRITE | EV_PERSIST, caller_writable,
		     caller);
	if (event_add(&caller->event, &answer_timeout))
		caller_finish(caller, "no memory");
}

/* Return: false without memory. */
static bool caller_make_request(struct caller *caller, const char *format, const char *start)
{
	const struct stream_request wanted = {
		.program = "dmacastd", .format = format, .start = start, .no_chunks = true
	};

	if (caller->input->kind != INPUT_HTTP)
		return true;
	caller->request = stream_url_request(&caller->input->url, &wanted);
	caller->request_bytes = caller->request ? strlen(caller->request) : 0;
	caller->response = http_response_create(caller_find_stream, caller);
	return caller->request && caller->response;
}

struct caller *caller_start(struct event_base *base, const struct input *input, const char *format,
			    const char *start,
			    void (*connected)(void *argument, int fd, const char *error),
			    void *argument)
{
	struct caller *caller = calloc(1, sizeof(*caller));

	if (!caller)
		return NULL;
	caller->base = base;
	caller->input = input;
	caller->connected = connected;
	caller->argument = argument;
	caller->fd = -1;
	event_assign(&caller->event, base, -1, 0, caller_readable, caller);
	if (caller_make_request(caller, format, start))
		caller->dialer = dialer_start(base, input, caller_connected, caller);
	if (caller->dialer)
		return caller;
	caller_cancel(caller);
	return NULL;
}

unsigned int caller_status(const struct caller *caller)
{
	return caller->response ? http_response_status(caller->response) : 0;
}

void caller_cancel(struct caller *caller)
{
	event_del(&caller->event);
	if (caller->dialer)
		dialer_cancel(caller->dialer);
	if (caller->fd >= 0)
		close(caller->fd);
	http_response_free(caller->response);
	free(caller->request);
	free(caller);
}
