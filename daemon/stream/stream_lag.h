/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How slow clients are kept from using up the ring: offering blocks, and the lag policy.
 *
 * When free blocks reach the low-water mark, history (stream_history.h) gives way, whatever the policies are. When
 * there is none left, the lag policy is applied to the clients at the tail of the window. That frees blocks that
 * have not been sent yet. Blocks in flight to a stalled client are pinned, and only ending that client frees them.
 * So that stalled clients never take the ring from the others, at most half of it may be pinned (PINNED_DIVISOR);
 * beyond that, blocks are sent by copying, except those that are pinned already. There is no such limit where all
 * clients are under lag-policy = block: the source waits anyway.
 *
 * Clients that there was no time to offer blocks to are queued. They are not slow, the daemon is: the lag policy
 * spares them, and the source waits instead.
 *
 * A client that loses blocks finishes the one that it has begun: it pins that block, or beyond the limit
 * gets a copy of its rest.
 *
 * The policy is that of each client's section. While a client under `block` is at the tail, nobody gives
 * way: that would free nothing. As soon as it moves on, the others at the tail have to.
 *
 * Before blocks are offered, rules move the clients that are too far behind: under `latest` those that
 * have not sent everything from before, under `lag-limit` those at a block beyond the limit. A rule
 * remembers up to which place it has been applied, so that it looks at each place once. Rules spare a client that
 * begins in history until it has caught up; then it is at the head, before which the rule was applied.
 */
#ifndef DMACAST_STREAM_LAG_H
#define DMACAST_STREAM_LAG_H

#include "lib/log.h"
#include "lib/settings.h"
#include "ring/ring.h"
#include "stream/window.h"

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

struct client_group;
struct state;
struct stream_queue;

/* The rule for the clients of one section. */
struct lag_rule {
	TAILQ_ENTRY(lag_rule) entry;
	const struct client_group *group;
	uint64_t applied; /* none of its clients is at a lower sequence, but those that catch up */
};

TAILQ_HEAD(lag_rule_list, lag_rule);

struct stream_lag {
	const struct stream_settings *settings;
	struct window *window;
	struct stream_queue *queue;
	struct ring *ring;  /* NULL while the stream waits for its device */
	uint32_t low_water; /* blocks */
	uint32_t
		spare; /* blocks that history gives up beyond that, for the source to take together */
	uint64_t
		offered; /* sequence up to which every client was offered the blocks, or is queued */
	uint64_t offering_until_ns; /* of the offer in progress: monotonic; 0: no time is left */
	bool wants_room;	    /* stream_lag_make_room() ended early; call it again */
	bool blocked; /* a client under `block` kept stream_lag_make_room() from freeing blocks */
	struct lag_rule_list rules;
	struct event age_timer; /* applies a limit that is a time */
	struct log_limit drop_log, kick_log;
};

/**
 * stream_lag_init() - start without a ring.
 * @settings, @window, @queue: must outlive @lag; the cursors in @window are those of clients
 */
void stream_lag_init(struct stream_lag *lag, struct event_base *base,
		     const struct stream_settings *settings, struct window *window,
		     struct stream_queue *queue);

/** stream_lag_add() - apply a rule to the clients of @group, as its settings say; all must outlive it. */
void stream_lag_add(struct stream_lag *lag, struct lag_rule *rule,
		    const struct client_group *group);

/** stream_lag_remove() - undo stream_lag_add(). */
void stream_lag_remove(struct stream_lag *lag, struct lag_rule *rule);

/**
 * stream_lag_transfer() - save or restore the object "lag"; see state.h. The rules look at each place again.
 * @lag: restoring: with the restored window, and its ring, if there is one
 */
void stream_lag_transfer(struct stream_lag *lag, struct state *state);

/** stream_lag_close() - stop the timer. */
void stream_lag_close(struct stream_lag *lag);

/** stream_lag_set_ring() - use @ring from now on, and set how many of its blocks may be pinned. */
void stream_lag_set_ring(struct stream_lag *lag, struct ring *ring);

/** stream_lag_adapt() - apply changed settings. */
void stream_lag_adapt(struct stream_lag *lag);

/**
 * stream_lag_offer() - offer blocks that entered the window since the last call to every client, for
 * MAX_CALLBACK_NS; the other clients are queued for that.
 */
void stream_lag_offer(struct stream_lag *lag);

/**
 * stream_lag_make_room() - keep the source from running dry: release blocks that no client needs; if these do not
 * suffice, offer new blocks, then drop or disconnect the slowest clients until more blocks than the low-water mark
 * are free. Sets wants_room if queued clients or too many slow ones are in the way.
 */
void stream_lag_make_room(struct stream_lag *lag);

#endif
