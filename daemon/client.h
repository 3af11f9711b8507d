/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client: one connection that gets a stream's blocks.
 *
 *   STREAMING ─ client_finish() ─▶ FINISHING ─ all sent, SHUT_WR ─▶ CLOSING
 *       │                             │                                │ all acknowledged
 *       └───────────── client_kick(), error of the connection ──┐      │
 *                                     ▼                         ▼      ▼
 *                                 RESETTING ─ nothing outstanding ─▶ GONE
 *
 * In STREAMING and FINISHING its cursor is in the window. RESETTING begins with an RST to the peer,
 * which purges the write queue; then the error queue is read until every send is complete. The
 * descriptor is closed on the way to GONE, and nowhere else.
 *
 * The socket is watched edge-triggered: a half-closed peer, an unread error queue or a dead socket
 * would make a level-triggered event fire without end.
 */
#ifndef DMACAST_CLIENT_H
#define DMACAST_CLIENT_H

#include "address.h"
#include "settings.h"
#include "window.h"
#include "zerocopy.h"

#include <event2/event.h>
#include <event2/event_struct.h>

enum client_state {
	CLIENT_STREAMING,
	CLIENT_FINISHING,
	CLIENT_CLOSING,
	CLIENT_RESETTING,
	CLIENT_GONE,
};

struct client;

struct client_owner {
	void *argument; /* of each of these */
	/* Bytes that a client may send before others have their turn. */
	uint64_t turn_bytes;
	/* How many more blocks may be pinned now. */
	uint32_t (*pin_allowance)(void *argument);
	/* The client has more to send but had its turn: call client_send() again, later. */
	void (*again)(void *argument, struct client *client);
	/* The client is GONE. It may be freed, but not from within this call. */
	void (*gone)(void *argument, struct client *client);
};

struct client_stats {
	uint64_t sent_bytes;
	uint64_t dropped_bytes; /* that it did not get because it was too slow */
	uint64_t drops;		/* how often */
};

struct client {
	/* The owner's: */
	TAILQ_ENTRY(client) entry;
	TAILQ_ENTRY(client) again_entry;
	bool waits_for_turn; /* is in the list of again_entry */
	struct sockaddr_storage peer;
	char peer_text[ADDRESS_TEXT];
	struct client_stats stats;
	/* To be looked at by the owner, changed in client.c: */
	enum client_state state;
	struct cursor cursor;
	struct zerocopy zerocopy;
	const char *reason; /* why it ended */
	uint64_t joined_ns;
	/* Of client.c alone: */
	const struct stream_settings *settings;
	const struct client_owner *owner;
	struct window *window;
	struct event event;
	bool writable;	  /* since the socket was full last */
	bool input_ended; /* the peer sends nothing more; it may still receive */
	uint16_t overdue; /* seconds that completions are awaited after a reset */
};

TAILQ_HEAD(client_list, client);

/**
 * client_create() - let a connected, non-blocking socket join @window.
 * @fd: taken over, also on failure
 * @settings, @window, @owner: must outlive the client
 *
 * Return: NULL without memory. client_send() is up to the caller.
 */
struct client *client_create(struct event_base *base, int fd, const struct sockaddr *peer,
			     socklen_t peer_length, const struct stream_settings *settings,
			     struct window *window, const struct client_owner *owner);

/** client_send() - send what there is and the socket takes. */
void client_send(struct client *client);

/** client_finish() - send what is in the window now, then end the connection in order. */
void client_finish(struct client *client);

/**
 * client_kick() - end the connection now, with an RST.
 * @reason: for the log; a constant text
 */
void client_kick(struct client *client, const char *reason);

/** client_is_active() - does it still get data? */
static inline bool client_is_active(const struct client *client)
{
	return client->state == CLIENT_STREAMING || client->state == CLIENT_FINISHING;
}

/** client_of() - the client that has this cursor. */
struct client *client_of(struct cursor *cursor);

/** client_free() - free a client that is GONE. */
void client_free(struct client *client);

#endif
