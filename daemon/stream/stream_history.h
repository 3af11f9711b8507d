/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The history of a stream: the blocks that it keeps for clients that do not begin with the next block, and where
 * such a client begins. `retain` says how much is kept:
 *
 *   - a size: each block that has one of the last SIZE bytes;
 *   - a time: each block whose capture is not longer ago.
 *
 * Only blocks that no client needs are history. They give way before any client and before the source: when the
 * ring is at its low-water mark (stream_lag.c), and while the source waits for free blocks.
 */
#ifndef DMACAST_STREAM_HISTORY_H
#define DMACAST_STREAM_HISTORY_H

#include "lib/client_start.h"
#include "lib/settings.h"
#include "stream/stream_frames.h"
#include "stream/stream_preamble.h"
#include "stream/window.h"

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

struct stream_history {
	const struct stream_settings *settings;
	struct window *window;
	const struct stream_frames *frames;
	const struct stream_preamble *preamble;
	struct event
		timer; /* releases what has become too old, and what changed settings do not keep */
	bool drains; /* the settings have changed: only the timer releases blocks, some at a time */
};

/* Where a client begins. */
struct history_place {
	uint64_t
		sequence; /* of its first block; that of the head of the window: with the next one */
	uint64_t end;	  /* sequence of the block that it ends before; 0: the stream goes on */
	bool resumes;	  /* the client has everything before it, so it gets no preamble */
};

enum history_result {
	HISTORY_FOUND,
	HISTORY_CONFLICT, /* there is no such block: it has another epoch, or is still to come */
	HISTORY_GONE,	  /* the block was there, but the one after it is not kept any more */
};

struct history_answer {
	struct history_place place; /* HISTORY_FOUND */
	struct block_name
		oldest; /* block that is there, or if there is none, the next one; always set */
};

/**
 * stream_history_init() - start without blocks.
 * @settings, @window, @frames, @preamble: must outlive @history
 */
void stream_history_init(struct stream_history *history, struct event_base *base,
			 const struct stream_settings *settings, struct window *window,
			 const struct stream_frames *frames,
			 const struct stream_preamble *preamble);

/** stream_history_adapt() - apply changed settings. */
void stream_history_adapt(struct stream_history *history);

/**
 * stream_history_find() - find where a client begins. The place is valid until the event loop continues.
 *
 * Every kind but CLIENT_START_AFTER is found. Without a block that is old enough, it is the oldest one; without
 * any block, the next one. These kinds do not go beyond `retain`, nor with a `preamble` in bytes beyond the last
 * run, even if there are older blocks, which a slow client needs.
 */
enum history_result stream_history_find(struct stream_history *history,
					const struct client_start *start,
					struct history_answer *answer);

/** stream_history_close() - stop the timer. */
void stream_history_close(struct stream_history *history);

#endif
