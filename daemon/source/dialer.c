// SPDX-License-Identifier: BSD-2-Clause
#include "source/dialer.h"

#include "lib/keepalive.h"
#include "lib/resolver.h"

#include <bsd/string.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Enough for about ten addresses and their errors; the rest is cut off. */
#define DIALER_ERROR_TEXT 768

/* Time for one address, before the next one is tried. */
static const struct timeval connect_timeout = { .tv_sec = 5 };

struct dialer {
	struct event_base *base;
	const struct input *input;
	void (*connected)(void *argument, int fd, const char *error);
	void *argument;
	struct resolver_query *query; /* while resolving */
	struct resolved resolved;
	const struct addrinfo *next;  /* within `resolved` */
	const struct addrinfo *tried; /* the current one; NULL: a Unix socket */
	bool named;		      /* the host is a name: log which addresses it has */
	struct event *event; /* of fd while connecting, else a timer that expires at once */
	int fd;
	char error[DIALER_ERROR_TEXT];
};

static void dialer_try_addresses(struct dialer *dialer);

static void dialer_drop_socket(struct dialer *dialer)
{
	if (dialer->event)
		event_free(dialer->event);
	dialer->event = NULL;
	if (dialer->fd >= 0)
		close(dialer->fd);
	dialer->fd = -1;
}

static void dialer_finish(struct dialer *dialer)
{
	int fd = dialer->fd;

	dialer->fd = -1; /* owned by the callee now */
	dialer_drop_socket(dialer);
	dialer->connected(dialer->argument, fd, dialer->error[0] ? dialer->error : "no address");
}

/* Add the error of the address that was tried. */
static void dialer_note_error(struct dialer *dialer, const char *error)
{
	char address[ADDRESS_TEXT];

	if (!dialer->named || !dialer->tried) {
		strlcpy(dialer->error, error, sizeof(dialer->error));
		return;
	}
	if (dialer->error[0])
		strlcat(dialer->error, ", ", sizeof(dialer->error));
	strlcat(dialer->error, address_format(dialer->tried->ai_addr, address),
		sizeof(dialer->error));
	strlcat(dialer->error, ": ", sizeof(dialer->error));
	strlcat(dialer->error, error, sizeof(dialer->error));
}

static void dialer_fail_attempt(struct dialer *dialer, int error)
{
	dialer_note_error(dialer, strerror(error));
	dialer_drop_socket(dialer);
	dialer_try_addresses(dialer);
}

static void dialer_socket_ready(evutil_socket_t fd, short what, void *argument)
{
	struct dialer *dialer = argument;
	socklen_t length = sizeof(int);
	int error = ETIMEDOUT;

	if (!(what & EV_TIMEOUT) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length))
		error = errno;
	if (error)
		dialer_fail_attempt(dialer, error);
	else
		dialer_finish(dialer);
}

/* Start to connect to one address; the outcome comes through the event loop. 0 or an errno. */
static int dialer_connect(struct dialer *dialer, const struct sockaddr *address, socklen_t length)
{
	dialer->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (dialer->fd < 0)
		return errno;
	if (address->sa_family != AF_UNIX)
		keepalive_set(dialer->fd);
	if (connect(dialer->fd, address, length) && errno != EINPROGRESS && errno != EINTR)
		return errno;
	dialer->event = event_new(dialer->base, dialer->fd, EV_WRITE, dialer_socket_ready, dialer);
	if (!dialer->event || event_add(dialer->event, &connect_timeout))
		return ENOMEM;
	return 0;
}

static void dialer_try_addresses(struct dialer *dialer)
{
	while (dialer->next) {
		const struct addrinfo *address = dialer->next;
		int error;

		dialer->next = address->ai_next;
		dialer->tried = address;
		error = dialer_connect(dialer, address->ai_addr, address->ai_addrlen);
		if (!error)
			return;
		dialer_note_error(dialer, strerror(error));
		dialer_drop_socket(dialer);
	}
	dialer_finish(dialer);
}

/* Call @step from the event loop, outside of the current caller. */
static bool dialer_continue(struct dialer *dialer, void (*step)(evutil_socket_t, short, void *))
{
	static const struct timeval at_once;

	dialer->event = evtimer_new(dialer->base, step, dialer);
	return dialer->event && evtimer_add(dialer->event, &at_once) == 0;
}

static void dialer_resolved(void *argument, const struct resolved *resolved)
{
	struct dialer *dialer = argument;
	const char *error = resolved_error(resolved);

	dialer->query = NULL;
	if (error)
		strlcpy(dialer->error, error, sizeof(dialer->error));
	dialer->resolved = *resolved;
	dialer->next = resolved_list(&dialer->resolved, dialer->input->address.port);
	dialer_try_addresses(dialer);
}

static void dialer_resolve(struct dialer *dialer)
{
	const struct address *address = &dialer->input->address;

	if (resolver_numeric(address->host, &dialer->resolved)) {
		dialer_resolved(dialer, &dialer->resolved);
		return;
	}
	dialer->named = true;
	dialer->query =
		resolver_start(dialer->base, address->host, AI_ADDRCONFIG, dialer_resolved, dialer);
	if (dialer->query)
		return;
	strlcpy(dialer->error, "no memory to resolve the name", sizeof(dialer->error));
	dialer_finish(dialer);
}

static void dialer_connect_unix(struct dialer *dialer)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int error;

	strlcpy(address.sun_path, dialer->input->argument, sizeof(address.sun_path));
	error = dialer_connect(dialer, (const struct sockaddr *)&address, sizeof(address));
	if (error)
		dialer_fail_attempt(dialer, error);
}

static void dialer_begin(evutil_socket_t fd, short what, void *argument)
{
	struct dialer *dialer = argument;

	(void)fd;
	(void)what;
	dialer_drop_socket(dialer);
	if (dialer->input->kind == INPUT_UNIX)
		dialer_connect_unix(dialer);
	else
		dialer_resolve(dialer);
}

struct dialer *dialer_start(struct event_base *base, const struct input *input,
			    void (*connected)(void *argument, int fd, const char *error),
			    void *argument)
{
	struct dialer *dialer = calloc(1, sizeof(*dialer));

	if (!dialer)
		return NULL;
	dialer->base = base;
	dialer->input = input;
	dialer->connected = connected;
	dialer->argument = argument;
	dialer->fd = -1;
	if (!dialer_continue(dialer, dialer_begin)) {
		dialer_cancel(dialer);
		return NULL;
	}
	return dialer;
}

void dialer_cancel(struct dialer *dialer)
{
	if (dialer->query)
		resolver_cancel(dialer->query);
	dialer_drop_socket(dialer);
	free(dialer);
}
