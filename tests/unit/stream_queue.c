// SPDX-License-Identifier: BSD-2-Clause
/* The order of clients that there was no time for, and the task that each has when its turn comes. */
#include "stream/stream_queue.h"

#include "stream/client.h"

#include "tap.h"

#include <string.h>

static struct stream_queue queue;
static struct client client[3];

static void queue_test_begin(void)
{
	memset(client, 0, sizeof(client));
	stream_queue_init(&queue);
}

static void queue_test_end(void)
{
	for (size_t i = 0; i < 3; i++)
		stream_queue_remove(&client[i]);
	check(stream_queue_is_empty(&queue), "a client is left");
}

static void test_queue_task(void)
{
	queue_test_begin();
	stream_queue_add(&queue, &client[0], CLIENT_TASK_SEND);
	stream_queue_add(&queue, &client[0], CLIENT_TASK_FINISH);
	check(client[0].task == CLIENT_TASK_FINISH, "task %d", (int)client[0].task);
	stream_queue_add(&queue, &client[0], CLIENT_TASK_OFFER);
	stream_queue_add_now(&queue, &client[0], CLIENT_TASK_SEND);
	check(client[0].task == CLIENT_TASK_FINISH, "task %d", (int)client[0].task);
	check(!stream_queue_is_in_round(&queue), "the client is in another list");
	stream_queue_add_kick(&queue, &client[0], LEAVE_BY_OPERATOR, NULL);
	stream_queue_add(&queue, &client[0], CLIENT_TASK_FINISH);
	check(client[0].task == CLIENT_TASK_KICK && stream_queue_is_in_round(&queue), "task %d",
	      (int)client[0].task);
	queue_test_end();
	point("a client that waits has the greatest of its tasks");
}

static void test_queue_order(void)
{
	queue_test_begin();
	stream_queue_add_now(&queue, &client[0], CLIENT_TASK_OFFER);
	stream_queue_add_now(&queue, &client[1], CLIENT_TASK_OFFER);
	check(TAILQ_FIRST(&queue.round) == &client[0], "not the first one");
	stream_queue_add_kick(&queue, &client[2], LEAVE_BY_OPERATOR, NULL);
	check(TAILQ_FIRST(&queue.round) == &client[2], "not the one to kick");
	queue_test_end();
	point("clients wait in their order, and one to kick before the others");
}

int main(void)
{
	test_queue_task();
	test_queue_order();
	return tap_end();
}
