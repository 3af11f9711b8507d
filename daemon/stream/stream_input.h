/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients send, on its way to the source: a queue of bytes, and the clients that wait to be read.
 *
 *   ABSENT ─ stream_input_writable() ─▶ OPEN ─ write() fails ─▶ REFUSED
 *      ▲                                 │                         │
 *      └─────────────────────── stream_input_end_run() ────────────┘
 *
 * ABSENT: clients are not read. What they send waits in their sockets, and goes with them.
 * OPEN: clients are read in turn, a piece of at most MAX_CLIENT_INPUT bytes each, while the queue has space
 * for one. A piece is queued as a whole, so those of two clients are never mixed.
 * REFUSED: clients are read in the same way, and what they send is discarded.
 *
 * The end of a run discards the queue. A piece that was not written completely never continues in the next
 * run.
 */
#ifndef DMACAST_STREAM_INPUT_H
#define DMACAST_STREAM_INPUT_H

#include "lib/stats.h"

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct evbuffer;
struct event_base;
struct state;

/* Upper bound of the queue in bytes. */
#define STREAM_INPUT_BYTES ((size_t)64 << 10)

enum stream_input_state { STREAM_INPUT_ABSENT, STREAM_INPUT_OPEN, STREAM_INPUT_REFUSED };

/* The place of a client among those that wait to be read. */
struct input_turn {
	TAILQ_ENTRY(input_turn) entry;
	bool waits;
};

struct stream_input_callbacks {
	/* Write to the source; see source_write(). */
	ssize_t (*write)(void *argument, const void *bytes, size_t length);
	/* Read one piece of the client of @turn. If there is more, it calls stream_input_wait(). */
	void (*read)(struct input_turn *turn);
};

struct stream_input {
	enum stream_input_state state;
	bool full; /* the source takes no more before stream_input_writable() */
	struct evbuffer *queue;
	TAILQ_HEAD(, input_turn) turns;
	const struct input_turn *current; /* within read() */
	const struct stream_input_callbacks *callbacks;
	void *argument; /* of write() */
	struct input_stats *stats;
	struct event event; /* the next writes and reads */
};

/**
 * stream_input_init() - start ABSENT.
 * @callbacks: must outlive @input, as @stats
 *
 * Return: false without memory.
 */
bool stream_input_init(struct stream_input *input, struct event_base *base,
		       const struct stream_input_callbacks *callbacks, void *argument,
		       struct input_stats *stats);

/** stream_input_free() - free the queue. No client may wait. May be repeated, also if init() failed. */
void stream_input_free(struct stream_input *input);

/** stream_input_writable() - the source accepts bytes, perhaps in a new run. */
void stream_input_writable(struct stream_input *input);

/** stream_input_end_run() - discard the queue: the run of the source is over. */
void stream_input_end_run(struct stream_input *input);

/** stream_input_queued() - return the number of bytes in the queue. */
size_t stream_input_queued(const struct stream_input *input);

/**
 * stream_input_piece() - return how many bytes of the client of @turn may be read now.
 * @unread: bytes that its socket has
 * @unit: size of a unit in bytes, up to MAX_CLIENT_INPUT; 0: any number is one
 *
 * Return: a number of whole units; 0: there is none, or the client has to wait.
 */
size_t stream_input_piece(const struct stream_input *input, const struct input_turn *turn,
			  size_t unread, size_t unit);

/** stream_input_add() - queue a piece; discard it if the source takes nothing, or without memory. */
void stream_input_add(struct stream_input *input, const void *piece, size_t bytes);

/** stream_input_wait() - read the client later: behind those that wait already. May be repeated. */
void stream_input_wait(struct stream_input *input, struct input_turn *turn);

/**
 * stream_input_transfer() - save or restore the state and the queue; not the clients that wait, since their sockets
 * report again what they have.
 * @input: restoring: as stream_input_init() made it
 */
void stream_input_transfer(struct stream_input *input, struct state *state);

/** stream_input_forget() - do not read the client later. May be repeated. */
void stream_input_forget(struct stream_input *input, struct input_turn *turn);

#endif
