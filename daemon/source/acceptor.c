// SPDX-License-Identifier: BSD-2-Clause
#include "source/acceptor.h"

#include "lib/keepalive.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/state.h"
#include "lib/unix_socket.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* Number of producers that can wait. */
#define BACKLOG 16

TAILQ_HEAD(acceptor_list, acceptor);

/* The listening socket of one address or path. */
struct acceptor_socket {
	LIST_ENTRY(acceptor_socket) entry;
	enum input_kind kind;
	struct address address;		/* of INPUT_TCP_LISTEN */
	struct unix_socket unix_socket; /* of INPUT_UNIX_LISTEN */
	bool is_bound;			/* unix_socket exists */
	struct listen_set *set;
	struct acceptor_list acceptors; /* the oldest first */
};

struct acceptor {
	TAILQ_ENTRY(acceptor) entry;
	struct acceptor_socket *socket;
	const char *name, *text; /* for the log */
	const struct acceptor_callbacks *callbacks;
	void *argument; /* of the callbacks */
	bool waiting;
};

static LIST_HEAD(, acceptor_socket) acceptor_sockets = LIST_HEAD_INITIALIZER(acceptor_sockets);

/* ---- accepting ---- */

static struct acceptor *acceptor_first_waiting(const struct acceptor_socket *socket)
{
	struct acceptor *acceptor;

	TAILQ_FOREACH (acceptor, &socket->acceptors, entry) {
		if (acceptor->waiting)
			break;
	}
	return acceptor;
}

static void acceptor_switch(struct acceptor_socket *socket)
{
	if (acceptor_first_waiting(socket))
		listen_release(socket->set);
	else
		listen_hold(socket->set);
}

static void acceptor_name_peer(int fd, const struct sockaddr *peer, char text[PRODUCER_TEXT])
{
	struct ucred credentials = { 0 };
	socklen_t length = sizeof(credentials);

	if (peer->sa_family != AF_UNIX)
		address_format(peer, text);
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length))
		strlcpy(text, "of an unknown process", PRODUCER_TEXT);
	else
		snprintf(text, PRODUCER_TEXT, "pid %d, uid %u", (int)credentials.pid,
			 (unsigned int)credentials.uid);
}

static void acceptor_accepted(void *argument, int fd, const struct sockaddr *peer, socklen_t length)
{
	struct acceptor_socket *socket = argument;
	struct acceptor *acceptor = acceptor_first_waiting(socket);
	char text[PRODUCER_TEXT];

	(void)length;
	if (!acceptor) {
		close(fd); /* the set is held: none should come */
		return;
	}
	acceptor->waiting = false;
	acceptor_switch(socket);
	if (peer->sa_family != AF_UNIX)
		keepalive_set(fd);
	acceptor_name_peer(fd, peer, text);
	acceptor->callbacks->accepted(acceptor->argument, fd, text);
}

/* The newest one is that of the configuration in effect. */
static void acceptor_describe(void *argument, char *text, size_t size)
{
	const struct acceptor_socket *socket = argument;
	const struct acceptor *acceptor = TAILQ_LAST(&socket->acceptors, acceptor_list);

	snprintf(text, size, "stream %s: input %s", acceptor->name, acceptor->text);
}

static void acceptor_opened(void *argument, const char *address)
{
	const struct acceptor_socket *socket = argument;
	char what[512];

	if (socket->kind == INPUT_UNIX_LISTEN)
		return; /* has no address in this sense */
	acceptor_describe(argument, what, sizeof(what));
	log_info("%s: producers can connect to %s", what, address);
}

static const struct listen_callbacks acceptor_listen_callbacks = {
	.accepted = acceptor_accepted,
	.opened = acceptor_opened,
	.describe = acceptor_describe,
};

/* ---- the socket ---- */

static bool acceptor_has_address(const struct acceptor_socket *socket, const struct input *input)
{
	if (socket->kind != input->kind)
		return false;
	if (socket->kind == INPUT_UNIX_LISTEN)
		return !strcmp(socket->unix_socket.address.sun_path, input->argument);
	/* The kernel chooses another port for each 0. */
	return atoi(socket->address.port) &&
	       atoi(socket->address.port) == atoi(input->address.port) &&
	       !strcasecmp(socket->address.host, input->address.host);
}

static struct acceptor_socket *acceptor_find_socket(const struct input *input)
{
	struct acceptor_socket *socket;

	LIST_FOREACH (socket, &acceptor_sockets, entry) {
		if (acceptor_has_address(socket, input))
			break;
	}
	return socket;
}

static struct acceptor_socket *acceptor_create_socket(struct event_base *base,
						      const struct input *input)
{
	struct acceptor_socket *socket = calloc(1, sizeof(*socket));

	if (!socket)
		return NULL;
	TAILQ_INIT(&socket->acceptors);
	socket->kind = input->kind;
	socket->address = input->address;
	socket->set = listen_create(base, &acceptor_listen_callbacks, socket);
	if (!socket->set) {
		free(socket);
		return NULL;
	}
	listen_hold(socket->set);
	LIST_INSERT_HEAD(&acceptor_sockets, socket, entry);
	return socket;
}

static void acceptor_close_socket(struct acceptor_socket *socket)
{
	if (socket->is_bound)
		unix_socket_remove(&socket->unix_socket);
	listen_close(socket->set);
	LIST_REMOVE(socket, entry);
	free(socket);
}

/* Return: false with the reason in @wrong. */
static bool acceptor_listen_unix(struct acceptor_socket *socket, const char *path,
				 char wrong[ACCEPTOR_WRONG])
{
	char what[512];
	const char *error;
	int fd;

	acceptor_describe(socket, what, sizeof(what));
	fd = unix_socket_open(&socket->unix_socket, path, what, wrong);
	if (fd < 0)
		return false;
	socket->is_bound = true;
	error = listen_on_bound(socket->set, fd, BACKLOG);
	if (error)
		strlcpy(wrong, error, ACCEPTOR_WRONG);
	else
		log_info("%s: producers can connect", what);
	return !error;
}

/* Return: false with the reason in @wrong. */
static bool acceptor_listen(struct acceptor_socket *socket, const struct input *input,
			    const struct names *names, char wrong[ACCEPTOR_WRONG])
{
	const struct listen_options options = { .backlog = BACKLOG, .names = names };
	const char *error;

	if (socket->kind == INPUT_UNIX_LISTEN)
		return acceptor_listen_unix(socket, input->argument, wrong);
	error = listen_on_address(socket->set, &socket->address, &options);
	if (error)
		strlcpy(wrong, error, ACCEPTOR_WRONG);
	return !error;
}

/* ---- acceptors ---- */

/*
 * Return an acceptor of a socket that exists or is made, without listening; NULL without memory.
 * @shared: out: the socket listens
 */
static struct acceptor *acceptor_create(struct event_base *base, const char *name, const char *text,
					const struct input *input,
					const struct acceptor_callbacks *callbacks, void *argument,
					bool *shared)
{
	struct acceptor *acceptor = calloc(1, sizeof(*acceptor));
	struct acceptor_socket *socket = acceptor ? acceptor_find_socket(input) : NULL;

	*shared = socket;
	if (acceptor && !socket)
		socket = acceptor_create_socket(base, input);
	if (!socket) {
		free(acceptor);
		return NULL;
	}
	*acceptor = (struct acceptor){
		.socket = socket,
		.name = name,
		.text = text,
		.callbacks = callbacks,
		.argument = argument,
	};
	TAILQ_INSERT_TAIL(&socket->acceptors, acceptor, entry);
	return acceptor;
}

struct acceptor *acceptor_open(struct event_base *base, const char *name, const char *text,
			       const struct input *input, const struct names *names,
			       const struct acceptor_callbacks *callbacks, void *argument,
			       char wrong[ACCEPTOR_WRONG])
{
	bool shared;
	struct acceptor *acceptor =
		acceptor_create(base, name, text, input, callbacks, argument, &shared);

	if (!acceptor) {
		strlcpy(wrong, "no memory", ACCEPTOR_WRONG);
		return NULL;
	}
	if (shared || acceptor_listen(acceptor->socket, input, names, wrong))
		return acceptor;
	acceptor_close(acceptor);
	return NULL;
}

bool acceptor_is_listening(const struct input *input)
{
	return acceptor_find_socket(input);
}

void acceptor_next(struct acceptor *acceptor)
{
	acceptor->waiting = true;
	acceptor_switch(acceptor->socket);
}

void acceptor_cancel(struct acceptor *acceptor)
{
	acceptor->waiting = false;
	acceptor_switch(acceptor->socket);
}

void acceptor_close(struct acceptor *acceptor)
{
	struct acceptor_socket *socket;

	if (!acceptor)
		return;
	socket = acceptor->socket;
	TAILQ_REMOVE(&socket->acceptors, acceptor, entry);
	free(acceptor);
	if (TAILQ_EMPTY(&socket->acceptors))
		acceptor_close_socket(socket);
	else
		acceptor_switch(socket);
}

/* ---- handover ---- */

/* @path: of a Unix socket */
static void acceptor_transfer_socket(struct acceptor_socket *socket, const char *path,
				     struct state *state)
{
	if (socket->kind != INPUT_UNIX_LISTEN)
		return;
	unix_socket_transfer(&socket->unix_socket, path, state);
	socket->is_bound = !state_failed(state);
}

void acceptor_save(const struct acceptor *acceptor, struct state *state)
{
	bool waiting = acceptor->waiting;

	state_enter(state, "acceptor");
	state_bool(state, "waiting", &waiting);
	acceptor_transfer_socket(acceptor->socket, NULL, state);
	listen_save(acceptor->socket->set, state);
	state_leave(state);
}

/* Read the socket of the state only to close it: another acceptor has it. */
static void acceptor_drop_socket(struct event_base *base, struct state *state)
{
	static const struct listen_callbacks none;
	struct unix_socket same = { .device = 0 };
	struct listen_set *set = listen_create(base, &none, NULL);

	if (!set) {
		state_fail(state, "no memory");
		return;
	}
	if (state_has(state, "unix_socket"))
		unix_socket_transfer(&same, "", state);
	listen_restore(set, state);
	listen_close(set);
}

struct acceptor *acceptor_restore(struct event_base *base, const char *name, const char *text,
				  const struct input *input,
				  const struct acceptor_callbacks *callbacks, void *argument,
				  struct state *state)
{
	bool shared;
	struct acceptor *acceptor =
		acceptor_create(base, name, text, input, callbacks, argument, &shared);

	if (!acceptor) {
		state_fail(state, "no memory");
		return NULL;
	}
	state_enter(state, "acceptor");
	state_bool(state, "waiting", &acceptor->waiting);
	if (shared) {
		acceptor_drop_socket(base, state);
	} else {
		acceptor_transfer_socket(acceptor->socket, input->argument, state);
		listen_restore(acceptor->socket->set, state);
	}
	state_leave(state);
	if (!state_failed(state)) {
		acceptor_switch(acceptor->socket);
		return acceptor;
	}
	acceptor_close(acceptor);
	return NULL;
}
