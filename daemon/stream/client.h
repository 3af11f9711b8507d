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

#include "lib/address.h"
#include "lib/settings.h"
#include "lib/stats.h"
#include "send/zerocopy.h"
#include "stream/window.h"

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
	/* Bytes that a client may send before others have their turn; and one that needs no copies. */
	uint64_t turn_bytes, uncopied_turn_bytes;
	/* Where to count how long blocks take. */
	struct latency *latency;
	/* Where to count of whom the kernel says that it copies what is sent by zero-copy. */
	struct zerocopy_verdicts *verdicts;
	/* How many blocks that nobody pins may be pinned now. */
	uint32_t (*pin_allowance)(void *argument);
	/* The client has more to send but had its turn: call client_send() again, later. */
	void (*again)(void *argument, struct client *client);
	/* The client is GONE. It may be freed, but not from within this call. */
	void (*gone)(void *argument, struct client *client);
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
	enum leave_reason leave; /* why it ended */
	const char *reason;	 /* the same, for people */
	uint64_t joined_ns;
	/* Of client.c alone: */
	const struct stream_settings *settings;
	const struct client_owner *owner;
	struct window *window;
	struct event event;
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
 * @text: for the log; a constant text, or NULL: that of @reason
 */
void client_kick(struct client *client, enum leave_reason reason, const char *text);

/* What there is to say about a client. The texts live as long as the client. */
struct client_report {
	const char *peer;
	char endpoint[ADDRESS_TEXT]; /* the address it connected to; "" when that is over */
	const char *state;	     /* a word */
	uint64_t joined_ns;	     /* monotonic */
	uint64_t sequence;	     /* of the block that it is at, and how much of it is done */
	uint64_t offset;
	uint64_t lag_bytes;
	uint64_t lag_ns;	     /* the age of that block */
	struct client_totals totals; /* its own */
	uint32_t outstanding;	     /* sends that are not complete */
	uint32_t pinned_blocks;	     /* by these */
	const char *sending;	     /* how, now; a word */
};

/** client_report() - fill in @report. @now_ns: monotonic */
void client_report(const struct client *client, uint64_t now_ns, struct client_report *report);

struct client_lag {
	uint64_t bytes;
	uint64_t ns; /* the age of the block that it is at; 0: it has everything */
};

/** client_lag() - how far behind is it? Nothing, once it gets no more. @now_ns: monotonic */
struct client_lag client_lag(const struct client *client, uint64_t now_ns);

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
