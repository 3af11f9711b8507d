/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client: one connection that receives the blocks of a stream.
 *
 *   REQUESTING ─ it asks for the feed ─┐
 *     │ (format = http)                  ▼
 *     │                  others ─▶ STREAMING ─ client_finish() ─▶ FINISHING ─ all sent, SHUT_WR ─▶ CLOSING
 *     │ another request, or an error     │                            │                             ▲ │ all
 *     ▼                                  │                            │                             │ │ acknowledged
 *   ANSWERING ─ answer sent, SHUT_WR ────│────────────────────────────│─────────────────────────────┘ │
 *     │                                  ▼                            ▼                               ▼
 *     └── client_kick(), connection error, in each state ─▶ RESETTING ─ nothing outstanding ─▶ GONE
 *
 * In STREAMING and FINISHING the cursor of the client is in the window. RESETTING begins with an RST to
 * the peer, which purges the write queue; then the error queue is read until every send is complete. The
 * descriptor is closed on the transition to GONE, and nowhere else.
 *
 * A client in REQUESTING or ANSWERING has a deadline, and so has CLOSING after ANSWERING: there the socket is
 * open until the peer has closed, too, because input that is unread at the close would reset the connection,
 * and the peer might lose the answer.
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
#include "stream/client_aside.h"
#include "stream/http_request.h"
#include "stream/stream_frames.h"
#include "stream/stream_history.h"
#include "stream/stream_input.h"
#include "stream/stream_memory.h"
#include "stream/stream_preamble.h"
#include "stream/stream_watch.h"
#include "stream/window.h"

#include <event2/event.h>
#include <event2/event_struct.h>

enum client_state {
	CLIENT_REQUESTING,
	CLIENT_ANSWERING,
	CLIENT_STREAMING,
	CLIENT_FINISHING,
	CLIENT_CLOSING,
	CLIENT_RESETTING,
	CLIENT_GONE,
};

/* A sequence that no block has. */
#define CLIENT_NOT_DUE UINT64_MAX

struct client;
struct client_list;
struct crowd_host;
struct ring;
struct state;
struct stream_events;

/* What a client in a queue (stream_queue.h) will do; a later one of two includes an earlier one. */
enum client_task {
	CLIENT_TASK_SEND,  /* continue, after it used up its budget */
	CLIENT_TASK_OFFER, /* send blocks that it was not offered yet */
	CLIENT_TASK_FINISH,
	CLIENT_TASK_KICK,
};

struct client_callbacks {
	/* The client has used up its budget and has more to send: call client_send() later. */
	void (*requeue)(void *argument, struct client *client);
	/*
	 * The kernel begins or stops to copy what a client sends by zero-copy. The state of each client is
	 * ZEROCOPY_UNKNOWN at first, and again before gone(). Clients must not be touched within this call.
	 */
	void (*copy_state_changed)(void *argument, enum zerocopy_copy_state before,
				   enum zerocopy_copy_state now);
	/* Optional: a client under lag-policy = block has sent something. No client may be touched here. */
	void (*progressed)(void *argument);
	/* Optional: the client gets no blocks any more; once. No client may be touched here. */
	void (*inactive)(void *argument);
	/* A client that was REQUESTING is STREAMING now. */
	void (*streaming)(void *argument, struct client *client);
	/* The peer has shut down its sending side; at most once. Its process may be gone. */
	void (*half_closed)(void *argument, struct client *client);
	/* The client is GONE. It may be freed, but not within this call. */
	void (*gone)(void *argument, struct client *client);
};

/* What the clients of one section of a stream have in common. */
struct client_group {
	struct event_base *base;
	const char *stream_name;  /* with the section, for the log */
	const char *section_name; /* of [endpoint NAME]; NULL: the stream's own endpoints */
	const struct client_settings *settings;
	struct window *window;
	struct stream_memory *memory;
	const struct stream_frames *frames; /* for framed clients */
	struct stream_preamble *preamble;   /* NULL: none */
	struct stream_history *history;	    /* NULL: each client begins with the next block */
	struct latency *latency;
	struct sent_counter *sent;
	struct stream_events *events; /* NULL: none are reported */
	struct stream_input *input;   /* to the source */
	uint64_t *http_answers;	      /* number of answers, by enum http_code */
	const struct client_callbacks *callbacks;
	void *argument; /* of the callbacks */
	/* Bytes that a client may send before others send; of one that the kernel does not copy for. */
	uint64_t budget_bytes, uncopied_budget_bytes;
};

/* Place in the window behind the last block that a client gets. */
struct client_end {
	uint64_t sequence; /* CLIENT_NOT_DUE: none */
	uint64_t position;
	uint32_t epoch; /* of the blocks before it */
};

struct client {
	/* Written by the stream: */
	TAILQ_ENTRY(client) entry;
	TAILQ_ENTRY(client) queue_entry;
	TAILQ_ENTRY(client) half_closed_entry, host_half_closed_entry;
	struct client_list *queue;     /* list of queue_entry that it is in, or NULL */
	enum client_task task;	       /* why it is in `queue` */
	enum leave_reason kick_reason; /* of CLIENT_TASK_KICK */
	const char *kick_text;
	struct crowd_host *host; /* its count in the crowd */
	bool is_half_closed;	 /* is in the lists of half-closed clients */
	struct event_sum drops;	 /* those that are not reported yet */
	/* Written by both: client_*.c count what is sent, the stream what is dropped. */
	struct client_stats stats;
	/* Written by client*.c, read by the stream: */
	struct sockaddr_storage peer;
	char peer_text[ADDRESS_TEXT];
	char endpoint_text[ADDRESS_TEXT]; /* local address */
	enum client_state state;
	struct cursor cursor;
	struct zerocopy zerocopy;
	enum leave_reason leave; /* why the client left */
	const char *reason;	 /* the same as text for the log */
	uint64_t joined_ns;
	/* Private to client*.c (client_internal.h): */
	const struct client_group *group;
	struct event event;
	bool is_http;
	struct http_request *request;  /* in REQUESTING; else NULL */
	uint64_t deadline_ns;	       /* monotonic; 0: none */
	struct memory_grant grant;     /* what the socket may hold unsent */
	struct client_aside aside;     /* answer, frame, or bytes, sent before the next block */
	struct shared_bytes *preamble; /* goes aside next; NULL: none, or not yet known */
	uint32_t preamble_epoch;       /* of its frame */
	bool preamble_is_late;	       /* it will be known with the first block */
	bool catches_up;       /* it began in history, and has not had everything since then */
	uint64_t metadata_due; /* sequence before which it gets metadata again, or CLIENT_NOT_DUE */
	struct client_end end; /* where the run that it receives ends, while the stream goes on */
	bool end_sent;	       /* the frame with FRAME_END is made */
	bool forwards_input;   /* what the peer sends goes to the source */
	uint64_t input_unit;   /* client-input-size */
	struct input_turn input_turn;
	bool input_ended;	 /* the peer has shut down its sending side; it may still receive */
	uint64_t input_end_ns;	 /* when that was noticed; monotonic */
	uint64_t input_end_sent; /* bytes sent by then */
	uint16_t overdue;	 /* seconds since the reset, while sends are outstanding */
	/* Memory of `reason` and `kick_text` of a client that was restored; NULL: constant texts. */
	char *reason_memory, *kick_memory;
};

TAILQ_HEAD(client_list, client);

/**
 * client_create() - make a client of a connected, non-blocking socket: it joins the window of @group where `start`
 * says, or with `format = http` waits for its request.
 * @fd: taken over, also on failure
 * @group: must outlive the client
 *
 * Return: NULL without memory. Nothing is sent before client_send(), which the event loop calls as soon as the socket
 * has space, or client_check_input().
 */
struct client *client_create(const struct client_group *group, int fd, const struct sockaddr *peer,
			     socklen_t peer_length);

/** client_send() - send what the window has, up to the budget and to what the socket accepts. */
void client_send(struct client *client);

/** client_send_metadata() - send the metadata again before the block that enters the window next. */
void client_send_metadata(struct client *client);

/**
 * client_end_run() - let a framed client end behind what is in the window now, because the numbers of the blocks that
 * follow do not continue. client_send() must follow.
 */
void client_end_run(struct client *client);

/**
 * client_finish() - send what is in the window now, then end the connection in order. A client that did not ask for
 * the feed is closed at once.
 */
void client_finish(struct client *client);

/**
 * client_kick() - end the connection now, with an RST.
 * @text: constant text for the log; NULL: leave_reason_text(@reason)
 */
void client_kick(struct client *client, enum leave_reason reason, const char *text);

/** client_read_input() - read the client of @turn; for struct stream_input_callbacks. */
void client_read_input(struct input_turn *turn);

/**
 * client_check_input() - read a request, forward or discard what else the peer has sent until now, and notice
 * its end.
 *
 * Call this once the client is in the lists of its owner, which may get half_closed() or gone().
 */
void client_check_input(struct client *client);

/**
 * client_proof_ns() - return the monotonic time at which a half-closed peer is known to be alive, unless the
 * connection ends before; 0: it is known now, or the peer is not half-closed.
 *
 * A peer that closed its socket looks like one that shut down its sending side until it gets data, which it
 * answers with an RST; or until its kernel forgets the connection, after a minute, and answers a probe so.
 */
uint64_t client_proof_ns(const struct client *client, uint64_t now_ns);

/** client_owes_nothing() - return true if the peer has acknowledged all that is in the window. */
bool client_owes_nothing(const struct client *client);

/** client_release() - close a client that owes nothing in order, without waiting for its peer. */
void client_release(struct client *client, enum leave_reason reason, const char *text);

/* A client, as plain values. The texts live as long as the client. */
struct client_report {
	const char *peer;
	const char *endpoint; /* local address; "" after the end of the connection */
	const char *section;  /* name of its [endpoint NAME]; NULL: the stream's own */
	const char *state;    /* a word */
	uint64_t joined_ns;   /* monotonic */
	uint64_t sequence;    /* of its current block */
	uint64_t lag_bytes;
	uint64_t lag_ns; /* age of the current block */
	struct client_totals totals;
	uint32_t outstanding;	/* sends that are not complete */
	uint32_t pinned_blocks; /* blocks that these sends pin */
	uint64_t unsent_limit;	/* bytes; its TCP_NOTSENT_LOWAT */
	const char *sending;	/* how it sends now; a word */
	const char *format;	/* what it gets, as the option has it */
};

/** client_report() - fill in @report. @now_ns: monotonic */
void client_report(const struct client *client, uint64_t now_ns, struct client_report *report);

struct client_lag {
	uint64_t bytes;
	uint64_t ns; /* age of its current block; 0: the client has everything */
};

/** client_lag() - return how far the client is behind; 0 unless it is active. @now_ns: monotonic */
struct client_lag client_lag(const struct client *client, uint64_t now_ns);

/** client_is_active() - return true while the client gets blocks. */
static inline bool client_is_active(const struct client *client)
{
	return client->state == CLIENT_STREAMING || client->state == CLIENT_FINISHING;
}

/** client_of() - return the client that has this cursor. */
struct client *client_of(struct cursor *cursor);

/** client_free() - free a client that is GONE. */
void client_free(struct client *client);

/**
 * client_save() - save a client that is not GONE, with its descriptor, as the object "client". Nothing changes.
 *
 * What its peer has sent, or acknowledged, waits in the socket. Its place in the queues of the stream is not saved
 * but for its task. Sums of events are not either: nobody watches at first.
 */
void client_save(struct client *client, struct ring *ring, struct state *state);

/**
 * client_restore() - make the client that client_save() saved. It is in the window of @group if it is active, but in no
 * list; its callbacks come from the event loop, not from here, but for copy_state_changed().
 * @group: as of client_create(); `window`, `memory`, `preamble` and `input` must be restored already. The grant of the
 *	client is charged to `memory` here
 *
 * The caller joins it to its crowd; to the half-closed ones, too, if client_is_half_closed(); and queues `task` again,
 * see stream_queue_resume().
 *
 * Return: NULL after a failure of @state; then the connection was reset, if it was restored.
 */
struct client *client_restore(const struct client_group *group, struct ring *ring,
			      struct state *state);

/** client_is_half_closed() - return true if half_closed() was called, and the client is active. */
bool client_is_half_closed(const struct client *client);

/**
 * client_abandon() - reset the connection and free the client, whatever its state is; it must be in no list. No callback
 * is called but copy_state_changed(). Sends that are not complete are no reason to wait, so the blocks must not change
 * any more.
 */
void client_abandon(struct client *client);

#endif
