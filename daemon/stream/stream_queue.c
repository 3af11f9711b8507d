// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_queue.h"

#include "lib/clock.h"

void stream_queue_init(struct stream_queue *queue)
{
	TAILQ_INIT(&queue->round);
	TAILQ_INIT(&queue->next);
}

static void queue_insert(struct client_list *list, struct client *client, enum client_task task)
{
	if (client->queue) {
		if (client->task < task)
			client->task = task;
		return;
	}
	client->task = task;
	client->queue = list;
	TAILQ_INSERT_TAIL(list, client, queue_entry);
}

void stream_queue_add(struct stream_queue *queue, struct client *client, enum client_task task)
{
	queue_insert(&queue->next, client, task);
}

void stream_queue_add_now(struct stream_queue *queue, struct client *client, enum client_task task)
{
	queue_insert(&queue->round, client, task);
}

void stream_queue_add_kick(struct stream_queue *queue, struct client *client,
			   enum leave_reason reason, const char *text)
{
	if (client->queue && client->task == CLIENT_TASK_KICK)
		return;
	stream_queue_remove(client);
	client->task = CLIENT_TASK_KICK;
	client->kick_reason = reason;
	client->kick_text = text;
	client->queue = &queue->round;
	TAILQ_INSERT_HEAD(&queue->round, client, queue_entry);
}

void stream_queue_resume(struct stream_queue *queue, struct client *client)
{
	/* A client without a task, too, is offered what it has not sent: that does no harm. */
	enum client_task task = client->task > CLIENT_TASK_OFFER ? client->task : CLIENT_TASK_OFFER;

	if (task == CLIENT_TASK_KICK)
		stream_queue_add_kick(queue, client, client->kick_reason, client->kick_text);
	else
		stream_queue_add(queue, client, task);
}

void stream_queue_remove(struct client *client)
{
	if (client->queue)
		TAILQ_REMOVE(client->queue, client, queue_entry);
	client->queue = NULL;
}

static void queue_do_task(struct client *client)
{
	switch (client->task) {
	case CLIENT_TASK_SEND:
	case CLIENT_TASK_OFFER:
		client_send(client);
		break;
	case CLIENT_TASK_FINISH:
		client_finish(client);
		break;
	case CLIENT_TASK_KICK:
		client_kick(client, client->kick_reason, client->kick_text);
		break;
	}
}

static void queue_begin_round(struct stream_queue *queue)
{
	struct client *client;

	TAILQ_FOREACH (client, &queue->next, queue_entry)
		client->queue = &queue->round;
	TAILQ_CONCAT(&queue->round, &queue->next, queue_entry);
}

void stream_queue_run(struct stream_queue *queue, uint64_t until_ns)
{
	struct client *client;

	if (TAILQ_EMPTY(&queue->round))
		queue_begin_round(queue);
	while ((client = TAILQ_FIRST(&queue->round))) {
		stream_queue_remove(client);
		queue_do_task(client);
		if (clock_monotonic_ns() >= until_ns)
			break;
	}
}

bool stream_queue_is_in_round(const struct stream_queue *queue)
{
	return !TAILQ_EMPTY(&queue->round);
}

bool stream_queue_is_empty(const struct stream_queue *queue)
{
	return TAILQ_EMPTY(&queue->round) && TAILQ_EMPTY(&queue->next);
}
