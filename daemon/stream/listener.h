/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An endpoint of a stream: the listening sockets of one "HOST:PORT" or "systemd:NAME".
 *
 *   listener_open() ─▶ LISTENING
 *        └ its address is missing, LISTEN_AVAILABLE ─▶ WAITING ─ an attempt succeeds ─▶ LISTENING
 */
#ifndef DMACAST_LISTENER_H
#define DMACAST_LISTENER_H

#include "lib/settings.h"

#include <stdbool.h>
#include <sys/socket.h>

struct event_base;
struct listener;
struct names;
struct state;

/* What has become of an endpoint. */
enum listener_change {
	LISTENER_LISTENS, /* on an address; perhaps not the only one */
	LISTENER_WAITS,
	LISTENER_CLOSED,
};

struct listener_callbacks {
	/* Take over @fd, a new connection, which is non-blocking. */
	void (*accepted)(void *argument, int fd, const struct sockaddr *peer, socklen_t length);
	/*
	 * Optional: the state of the endpoint with this text has changed. @text: the address, or the reason;
	 * NULL: closed. The listener must not be touched within this call.
	 */
	void (*changed)(void *argument, enum listener_change change, const char *endpoint,
			const char *text);
};

/**
 * listener_open() - listen on every address that @text stands for, or on every socket of that name
 * that the service manager passed. These stay open when the listener is closed.
 * @name: the stream, for the log; must outlive the listener
 * @text: the endpoint; is copied
 * @when: LISTEN_AVAILABLE: listen also on a literal address that this machine does not have yet; and
 *	while a name has no address of this machine, try again, up to each 10 seconds
 * @settings: interface, backlog and reuse-port of sockets that are opened here; copied
 * @names: has its host, if that is a name; used during the call only
 * @callbacks: must outlive the listener
 *
 * While there are no descriptors left, accepting pauses.
 *
 * Return: NULL after an error, which was logged.
 */
struct listener *listener_open(struct event_base *base, const char *name, const char *text,
			       enum listen_when when, const struct client_settings *settings,
			       const struct names *names,
			       const struct listener_callbacks *callbacks, void *argument);

/**
 * listener_hand_over() - give new connections to another stream from now on.
 * @name, @callbacks: as for listener_open()
 */
void listener_hand_over(struct listener *listener, const char *name,
			const struct listener_callbacks *callbacks, void *argument);

/** listener_endpoint() - return the text that it was opened with. */
const char *listener_endpoint(const struct listener *listener);

/** listener_each_address() - call @each for every address that it listens on. */
void listener_each_address(const struct listener *listener,
			   void (*each)(void *argument, const char *address), void *argument);

/** listener_waits_for() - return what it waits for, as a reason; NULL: it listens. */
const char *listener_waits_for(const struct listener *listener);

/** listener_is_as() - return true if the sockets would be opened in the same way with @settings. */
bool listener_is_as(const struct listener *listener, const struct client_settings *settings);

/** listener_save() - save the endpoint with its sockets; see state.h. */
void listener_save(const struct listener *listener, struct state *state);

/**
 * listener_restore() - make the endpoint that was saved. No socket is opened or bound for that, and nothing is reported.
 * @base, @name, @callbacks, @argument: as of listener_open()
 *
 * Return: NULL: the state failed.
 */
struct listener *listener_restore(struct event_base *base, const char *name,
				  const struct listener_callbacks *callbacks, void *argument,
				  struct state *state);

/** listener_discard() - as listener_close(), but report nothing. */
void listener_discard(struct listener *listener);

/** listener_close() - stop listening, and free the listener. */
void listener_close(struct listener *listener);

#endif
