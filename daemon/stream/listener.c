// SPDX-License-Identifier: BSD-2-Clause
#include "stream/listener.h"

#include "lib/endpoint.h"
#include "lib/listen.h"
#include "lib/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listener {
	const char *name; /* of the stream */
	char *endpoint;
	const struct listener_callbacks *callbacks;
	void *argument; /* of the callbacks */
	struct listen_set *set;
};

static void listener_accepted(void *argument, int fd, const struct sockaddr *peer, socklen_t length)
{
	const struct listener *listener = argument;

	listener->callbacks->accepted(listener->argument, fd, peer, length);
}

static void listener_opened(void *argument, const char *address)
{
	const struct listener *listener = argument;

	log_info("stream %s: listening on %s", listener->name, address);
}

static void listener_describe(void *argument, char *text, size_t size)
{
	const struct listener *listener = argument;

	snprintf(text, size, "stream %s: endpoint %s", listener->name, listener->endpoint);
}

static const struct listen_callbacks listener_listen_callbacks = {
	.accepted = listener_accepted,
	.opened = listener_opened,
	.describe = listener_describe,
};

static struct listener *listener_create(struct event_base *base, const char *name, const char *text,
					const struct listener_callbacks *callbacks, void *argument)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return NULL;
	listener->name = name;
	listener->callbacks = callbacks;
	listener->argument = argument;
	listener->endpoint = strdup(text);
	listener->set = listen_create(base, &listener_listen_callbacks, listener);
	if (listener->endpoint && listener->set)
		return listener;
	listener_close(listener);
	return NULL;
}

/* Return: NULL, or why not. */
static const char *listener_listen(struct listener *listener)
{
	static const struct listen_options options = { .backlog = SOMAXCONN };
	struct endpoint endpoint;
	const char *wrong;

	if (!endpoint_parse(listener->endpoint, &endpoint, &wrong))
		return wrong;
	if (endpoint.socket_name)
		return listen_on_passed(listener->set, endpoint.socket_name);
	return listen_on_address(listener->set, &endpoint.address, &options);
}

struct listener *listener_open(struct event_base *base, const char *name, const char *text,
			       const struct listener_callbacks *callbacks, void *argument)
{
	struct listener *listener = listener_create(base, name, text, callbacks, argument);
	const char *error = listener ? listener_listen(listener) : "no memory";

	if (!error)
		return listener;
	log_error("stream %s: listen = %s: %s", name, text, error);
	if (listener)
		listener_close(listener);
	return NULL;
}

void listener_hand_over(struct listener *listener, const char *name,
			const struct listener_callbacks *callbacks, void *argument)
{
	listener->name = name;
	listener->callbacks = callbacks;
	listener->argument = argument;
}

const char *listener_endpoint(const struct listener *listener)
{
	return listener->endpoint;
}

void listener_close(struct listener *listener)
{
	if (listener->set)
		listen_close(listener->set);
	free(listener->endpoint);
	free(listener);
}
