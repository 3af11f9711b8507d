/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clients of one stream that have something to do, in the order in which they get to it.
 *
 * With thousands of clients one callback cannot serve them all: control requests, other streams and the
 * source would wait for it. So what does not fit into MAX_CALLBACK_NS is queued here, and done in later turns
 * of the event loop. The queue is worked off in rounds. A client that is queued during a round waits for the
 * next one, so a round ends, however fast the clients come back.
 *
 *     stream_queue_add() ─▶ next ─ the round is over ─▶ round ─ stream_queue_run() ─▶ its task
 */
#ifndef DMACAST_STREAM_QUEUE_H
#define DMACAST_STREAM_QUEUE_H

#include "stream/client.h"

#include <stdbool.h>
#include <stdint.h>

struct stream_queue {
	struct client_list round, next;
};

/** stream_queue_init() - start without clients. */
void stream_queue_init(struct stream_queue *queue);

/** stream_queue_add() - let @client do @task, in the next round; the later one of two tasks counts. */
void stream_queue_add(struct stream_queue *queue, struct client *client, enum client_task task);

/** stream_queue_add_now() - let @client do @task at the end of this round, or begin a round with it. */
void stream_queue_add_now(struct stream_queue *queue, struct client *client, enum client_task task);

/** stream_queue_add_kick() - kick @client before all other tasks; see client_kick(). */
void stream_queue_add_kick(struct stream_queue *queue, struct client *client,
			   enum leave_reason reason, const char *text);

/** stream_queue_resume() - let a restored client do the task that it had. */
void stream_queue_resume(struct stream_queue *queue, struct client *client);

/** stream_queue_remove() - forget the task of @client, if it has one. */
void stream_queue_remove(struct client *client);

/**
 * stream_queue_run() - do tasks of this round, or of the next one if it is over, for at least one client.
 * @until_ns: monotonic time at which to return
 */
void stream_queue_run(struct stream_queue *queue, uint64_t until_ns);

/** stream_queue_is_in_round() - return true if clients of this round are left. */
bool stream_queue_is_in_round(const struct stream_queue *queue);

/** stream_queue_is_empty() - return true if no client has a task. */
bool stream_queue_is_empty(const struct stream_queue *queue);

#endif
