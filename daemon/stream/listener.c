// SPDX-License-Identifier: BSD-2-Clause
#include "stream/listener.h"

#include "lib/backoff.h"
#include "lib/endpoint.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/names.h"
#include "lib/state.h"

#include <bsd/string.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listener {
	const char *name; /* of the stream */
	char *endpoint;
	char interface[IF_NAMESIZE]; /* "": every one */
	int backlog;
	bool reuse_port;
	const struct listener_callbacks *callbacks;
	void *argument; /* of the callbacks */
	struct listen_set *set;
	enum listen_when when;
	struct event retry;  /* while it waits */
	struct names *names; /* while an attempt resolves the host */
	struct backoff backoff;
	bool listens;	     /* on some address at least */
	char waits_for[128]; /* reason of the last attempt; "": it listens */
};

static void listener_accepted(void *argument, int fd, const struct sockaddr *peer, socklen_t length)
{
	const struct listener *listener = argument;

	listener->callbacks->accepted(listener->argument, fd, peer, length);
}

static void listener_report(const struct listener *listener, enum listener_change change,
			    const char *text)
{
	if (listener->callbacks->changed)
		listener->callbacks->changed(listener->argument, change, listener->endpoint, text);
}

static void listener_opened(void *argument, const char *address)
{
	struct listener *listener = argument;

	log_info("stream %s: listening on %s", listener->name, address);
	listener->listens = true;
	listener_report(listener, LISTENER_LISTENS, address);
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

/* Return: NULL, or why not. */
static const char *listener_listen(struct listener *listener, const struct names *names)
{
	const struct listen_options options = {
		.backlog = listener->backlog,
		.interface = listener->interface[0] ? listener->interface : NULL,
		.reuse_port = listener->reuse_port,
		.freebind = listener->when == LISTEN_AVAILABLE,
		.names = names,
	};
	struct endpoint endpoint;
	const char *wrong;

	if (!endpoint_parse(listener->endpoint, &endpoint, &wrong))
		return wrong;
	if (endpoint.socket_name)
		return listen_on_passed(listener->set, endpoint.socket_name);
	return listen_on_address(listener->set, &endpoint.address, &options);
}

/* Log and report a reason once, not at each attempt. */
static void listener_note_reason(struct listener *listener, const char *reason)
{
	if (!strcmp(reason, listener->waits_for))
		return;
	log_warning("stream %s: listen = %s: %s; trying again until it can listen", listener->name,
		    listener->endpoint, reason);
	listener->listens = false;
	listener_report(listener, LISTENER_WAITS, reason);
	strlcpy(listener->waits_for, reason, sizeof(listener->waits_for));
}

/* Schedule the next attempt. Return: false without memory. */
static bool listener_schedule(struct listener *listener)
{
	struct timeval delay = backoff_take(&listener->backoff);

	return event_add(&listener->retry, &delay) == 0;
}

/* Start without the sockets that an incomplete attempt may have left. Return: NULL, or why not. */
static const char *listener_listen_again(struct listener *listener)
{
	struct listen_set *set = listen_create(event_get_base(&listener->retry),
					       &listener_listen_callbacks, listener);

	if (!set)
		return "no memory";
	listen_close(listener->set);
	listener->set = set;
	return listener_listen(listener, listener->names);
}

/* Try to listen; the host is in `names`, if it is a name. */
static void listener_try(void *argument)
{
	struct listener *listener = argument;
	const char *reason = listener_listen_again(listener);

	names_free(listener->names);
	listener->names = NULL;
	if (reason) {
		listener_note_reason(listener, reason);
		return;
	}
	event_del(&listener->retry);
	listener->waits_for[0] = '\0';
}

/* Resolve the host, if it is a name, and then call listener_try(). Return: false without memory. */
static bool listener_begin_attempt(struct listener *listener)
{
	struct resolved resolved;
	struct endpoint endpoint;
	const char *expected;

	if (!endpoint_parse(listener->endpoint, &endpoint, &expected) ||
	    !endpoint.address.host[0] || resolver_numeric(endpoint.address.host, &resolved)) {
		listener_try(listener);
		return true;
	}
	listener->names = names_create(event_get_base(&listener->retry), listener_try, listener);
	if (listener->names && names_add(listener->names, endpoint.address.host))
		return true;
	names_free(listener->names);
	listener->names = NULL;
	return false;
}

static void listener_retry_due(evutil_socket_t fd, short what, void *argument)
{
	struct listener *listener = argument;

	(void)fd;
	(void)what;
	/* Before the attempt: the memory of the timer that expired is still there. */
	listener_schedule(listener);
	if (!listener->names && !listener_begin_attempt(listener))
		listener_note_reason(listener, "no memory to resolve the name");
}

static struct listener *listener_create(struct event_base *base, const char *name, const char *text,
					enum listen_when when,
					const struct client_settings *settings,
					const struct listener_callbacks *callbacks, void *argument)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return NULL;
	listener->name = name;
	listener->callbacks = callbacks;
	listener->argument = argument;
	listener->when = when;
	listener->backlog = settings->backlog ? (int)settings->backlog : SOMAXCONN;
	listener->reuse_port = settings->reuse_port;
	if (settings->interface)
		strlcpy(listener->interface, settings->interface, sizeof(listener->interface));
	backoff_reset(&listener->backoff);
	evtimer_assign(&listener->retry, base, listener_retry_due, listener);
	listener->endpoint = strdup(text);
	listener->set = listen_create(base, &listener_listen_callbacks, listener);
	if (listener->endpoint && listener->set)
		return listener;
	listener_close(listener);
	return NULL;
}

struct listener *listener_open(struct event_base *base, const char *name, const char *text,
			       enum listen_when when, const struct client_settings *settings,
			       const struct names *names,
			       const struct listener_callbacks *callbacks, void *argument)
{
	struct listener *listener =
		listener_create(base, name, text, when, settings, callbacks, argument);
	const char *error = listener ? listener_listen(listener, names) : "no memory";

	if (!error)
		return listener;
	if (listener && when == LISTEN_AVAILABLE && listen_is_missing(listener->set) &&
	    listener_schedule(listener)) {
		listener_note_reason(listener, error);
		return listener;
	}
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

void listener_each_address(const struct listener *listener,
			   void (*each)(void *argument, const char *address), void *argument)
{
	if (listener->set)
		listen_each_address(listener->set, each, argument);
}

const char *listener_waits_for(const struct listener *listener)
{
	return listener->waits_for[0] ? listener->waits_for : NULL;
}

static bool listener_is_passed(const struct listener *listener)
{
	struct endpoint endpoint;
	const char *expected;

	return endpoint_parse(listener->endpoint, &endpoint, &expected) && endpoint.socket_name;
}

bool listener_is_as(const struct listener *listener, const struct client_settings *settings)
{
	const char *interface = settings->interface ? settings->interface : "";

	if (listener_is_passed(listener))
		return true;
	return !strcmp(listener->interface, interface) &&
	       listener->reuse_port == settings->reuse_port &&
	       (!settings->backlog || listener->backlog == (int)settings->backlog);
}

void listener_discard(struct listener *listener)
{
	event_del(&listener->retry);
	names_free(listener->names);
	if (listener->set)
		listen_close(listener->set);
	free(listener->endpoint);
	free(listener);
}

void listener_close(struct listener *listener)
{
	if (listener->listens)
		listener_report(listener, LISTENER_CLOSED, NULL);
	listener_discard(listener);
}

/* ---- handover ---- */

static void listener_transfer(struct listener *listener, struct state *state)
{
	int when = (int)listener->when;
	uint32_t backlog = (uint32_t)listener->backlog;

	state_string(state, "interface", listener->interface, sizeof(listener->interface));
	state_u32(state, "backlog", &backlog);
	state_bool(state, "reuse_port", &listener->reuse_port);
	state_choice(state, "when", &when, LISTEN_AVAILABLE + 1);
	backoff_transfer(&listener->backoff, state, "backoff");
	state_bool(state, "listens", &listener->listens);
	state_string(state, "waits_for", listener->waits_for, sizeof(listener->waits_for));
	listener->backlog = (int)backlog;
	listener->when = (enum listen_when)when;
}

void listener_save(const struct listener *listener, struct state *state)
{
	struct listener copy = *listener;

	state_string_copy(state, "endpoint", &copy.endpoint);
	listener_transfer(&copy, state);
	listen_save(listener->set, state);
}

/* One that waits tries again at once: an attempt may have been under way. */
static void listener_resume(struct listener *listener, struct state *state)
{
	static const struct timeval at_once;
	struct endpoint endpoint;
	const char *expected;

	if (!endpoint_parse(listener->endpoint, &endpoint, &expected))
		state_fail(state, "endpoint: expected %s", expected);
	else if (listener->waits_for[0] && event_add(&listener->retry, &at_once))
		state_fail(state, "no memory");
}

struct listener *listener_restore(struct event_base *base, const char *name,
				  const struct listener_callbacks *callbacks, void *argument,
				  struct state *state)
{
	static const struct client_settings defaults;
	struct listener *listener;
	char *endpoint = NULL;

	state_string_copy(state, "endpoint", &endpoint);
	listener = listener_create(base, name, endpoint ? endpoint : "", LISTEN_NOW, &defaults,
				   callbacks, argument);
	free(endpoint);
	if (!listener) {
		state_fail(state, "no memory for an endpoint");
		return NULL;
	}
	listener_transfer(listener, state);
	listen_restore(listener->set, state);
	if (!state_failed(state))
		listener_resume(listener, state);
	if (!state_failed(state))
		return listener;
	listener_discard(listener);
	return NULL;
}
