// SPDX-License-Identifier: BSD-2-Clause
/*
 * Lag policies on a real ring with clients over loopback: which client a policy meets, how much it
 * frees, and how many blocks may be pinned.
 */
#include "config/option_table.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "ring/ring_memory.h"
#include "stream/client.h"
#include "stream/stream_lag.h"
#include "stream/stream_queue.h"

#include "clientpair.h"
#include "loopback.h"
#include "tap.h"

#include <err.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE 65536U
#define BLOCKS 32U
#define LOW_WATER 8U
#define CLIENTS 2U
#define SMALL_BUFFER (32 << 10)
#define PATIENCE_NS 20000000000ULL

/* Clients by their index: one whose peer never reads while a test runs, and one whose peer reads; one more. */
enum { STALLED, READING, LATER };

static char stream_name_text[] = "test";

struct world {
	struct event_base *base;
	struct stream_settings settings;
	struct latency latency;
	struct sent_counter sent;
	struct ring *ring;
	struct window *window;
	struct stream_memory memory;
	struct client_group group;
	struct stream_queue queue;
	struct stream_lag lag;
	struct client *client[LATER + 1];
	int peer[LATER + 1];
	uint64_t received[LATER + 1]; /* bytes */
	unsigned int again[LATER + 1];
	uint32_t clients, gone;
	bool takes_all; /* each client that is offered something has sent it at once */
};

static void send_again(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	client_send(argument);
}

static void world_again(void *argument, struct client *client)
{
	const struct timeval soon = { .tv_usec = 1 };
	struct world *world = argument;

	for (uint32_t i = 0; i < world->clients; i++)
		world->again[i] += world->client[i] == client;
	if (world->takes_all)
		window_advance(world->window, &client->cursor,
			       window_lag(world->window, &client->cursor));
	if (world->group.budget_bytes)
		event_base_once(world->base, -1, EV_TIMEOUT, send_again, client, &soon);
}

static void world_gone(void *argument, struct client *client)
{
	struct world *world = argument;

	(void)client;
	world->gone++;
}

static void world_copy_state_changed(void *argument, enum zerocopy_copy_state before,
				     enum zerocopy_copy_state now)
{
	(void)argument;
	(void)before;
	(void)now;
}

static const struct client_callbacks world_callbacks = {
	.copy_state_changed = world_copy_state_changed,
	.requeue = world_again,
	.gone = world_gone,
};

static void world_begin(struct world *world, enum lag_policy policy, uint64_t low_water)
{
	memset(world, 0, sizeof(*world));
	option_set_defaults(OPTION_STREAM, &world->settings);
	world->settings.name = stream_name_text;
	world->settings.client.lag_policy = policy;
	world->settings.client.zerocopy = ZEROCOPY_NEVER;
	world->settings.block_size = BLOCK_SIZE;
	world->settings.ring_size = (uint64_t)BLOCKS * BLOCK_SIZE;
	world->settings.low_water = low_water;
	world->settings.client.send_buffer = SMALL_BUFFER;
	world->base = event_base_new();
	world->ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	world->window = window_create(BLOCKS);
	if (!world->base || !world->ring || !world->window)
		errx(1, "no ring");
	stream_memory_init(&world->memory, &world->settings.client, world->settings.ring_size);
	world->group = (struct client_group){
		.base = world->base,
		.stream_name = world->settings.name,
		.settings = &world->settings.client,
		.window = world->window,
		.memory = &world->memory,
		.latency = &world->latency,
		.sent = &world->sent,
		.callbacks = &world_callbacks,
		.argument = world,
		.budget_bytes = 1 << 20,
		.uncopied_budget_bytes = 1 << 20,
	};
	stream_queue_init(&world->queue);
	stream_lag_init(&world->lag, world->base, &world->settings, world->window, &world->queue);
	stream_lag_set_ring(&world->lag, world->ring);
}

static void world_join(struct world *world)
{
	uint32_t i = world->clients++;

	world->client[i] = clientpair_join(&world->group, SMALL_BUFFER, &world->peer[i]);
}

/* Make client_send() call requeue() instead of sending, so that a test sees each offer. */
static void world_only_offer(struct world *world)
{
	world->group.budget_bytes = world->group.uncopied_budget_bytes = 0;
}

/* A call that takes longer than MAX_CALLBACK_NS, as one that lost its CPU may, leaves the rest to the queue. */
static void world_offer(struct world *world)
{
	stream_lag_offer(&world->lag);
	stream_queue_run(&world->queue, UINT64_MAX);
}

static void world_make_room(struct world *world)
{
	stream_lag_make_room(&world->lag);
	stream_queue_run(&world->queue, UINT64_MAX);
	while (world->lag.wants_room) {
		stream_lag_make_room(&world->lag);
		stream_queue_run(&world->queue, UINT64_MAX);
	}
}

static struct block *world_push(struct world *world)
{
	struct block *block = ring_take(world->ring);

	if (!block)
		errx(1, "no free block");
	block->monotonic_ns = clock_monotonic_ns();
	block->length = BLOCK_SIZE;
	memset(block->data, 0, block->length);
	window_push(world->window, block);
	return block;
}

/* Let the peers from @first on read what has arrived. */
static void world_receive(struct world *world, uint32_t first)
{
	static unsigned char buffer[256 << 10];
	ssize_t n;

	for (uint32_t i = first; i < world->clients; i++) {
		while ((n = recv(world->peer[i], buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
			world->received[i] += (uint64_t)n;
	}
	event_base_loop(world->base, EVLOOP_NONBLOCK);
}

/* Run until the client that reads has all blocks. */
static void world_run(struct world *world)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS;

	while (window_block(world->window, &world->client[READING]->cursor) &&
	       check(clock_monotonic_ns() < give_up, "the reading client never has all blocks"))
		world_receive(world, READING);
}

static void world_end(struct world *world)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS;

	for (uint32_t i = 0; i < world->clients; i++)
		client_finish(world->client[i]);
	while (world->gone < world->clients &&
	       check(clock_monotonic_ns() < give_up, "%u of %u clients ended", world->gone,
		     world->clients))
		world_receive(world, 0);
	/* A client is gone when the peer's kernel has everything; the last data may be unread. */
	world_receive(world, 0);
	for (uint32_t i = 0; i < world->clients; i++) {
		close(world->peer[i]);
		client_free(world->client[i]);
	}
	window_set_keeper(world->window, NULL, NULL);
	while (window_release_oldest(world->window))
		;
	check(ring_free_blocks(world->ring) == BLOCKS, "%u blocks are free",
	      ring_free_blocks(world->ring));
	window_destroy(world->window);
	ring_destroy(world->ring);
	event_base_free(world->base);
}

static void world_kick_all(struct world *world)
{
	for (uint32_t i = 0; i < world->clients; i++)
		client_kick(world->client[i], LEAVE_BY_OPERATOR, NULL);
}

static void test_offer(void)
{
	struct world world;

	world_begin(&world, LAG_POLICY_DROP, LOW_WATER);
	world_only_offer(&world);
	world_join(&world);
	world_join(&world);
	world_push(&world);
	world_push(&world);
	world_offer(&world);
	for (uint32_t i = 0; i < CLIENTS; i++)
		check(world.again[i] == 1, "client %u was offered them %u times", i,
		      world.again[i]);
	world_offer(&world);
	check(world.again[STALLED] == 1, "offered again");
	point("new blocks are offered to each client once");

	window_advance(world.window, &world.client[READING]->cursor, 2 * BLOCK_SIZE);
	world_push(&world);
	world_offer(&world);
	check(world.again[READING] == 2, "offered %u times", world.again[READING]);
	check(world.again[STALLED] == 1, "offered %u times", world.again[STALLED]);
	world_kick_all(&world);
	world_end(&world);
	point("a client that has older blocks left is not called for new ones");
}

/* The source fills more than the whole ring several times over; one client never reads. */
static void test_drop(void)
{
	const struct client_stats *stats;
	struct world world;
	uint64_t dropped;

	world_begin(&world, LAG_POLICY_DROP, LOW_WATER);
	world_join(&world);
	world_join(&world);
	for (uint32_t i = 0; i < 4 * BLOCKS; i++) {
		world_make_room(&world);
		check(ring_free_blocks(world.ring) > LOW_WATER, "%u blocks are free",
		      ring_free_blocks(world.ring));
		world_push(&world);
		world_offer(&world);
		world_run(&world);
	}
	point("drop: more blocks than the low-water mark are free");
	stats = &world.client[READING]->stats;
	check(!stats->drops && !stats->dropped_bytes, "%" PRIu64 " drops", stats->drops);
	stats = &world.client[STALLED]->stats;
	check(stats->drops && stats->dropped_bytes >= 2 * (uint64_t)BLOCKS * BLOCK_SIZE,
	      "%" PRIu64 " drops, %" PRIu64 " bytes", stats->drops, stats->dropped_bytes);
	check(world.client[STALLED]->state == CLIENT_STREAMING, "the stalled client has ended");
	point("drop: only the client at the tail loses blocks, and stays");
	dropped = stats->dropped_bytes;
	world_end(&world);
	check(world.received[READING] == 4 * (uint64_t)BLOCKS * BLOCK_SIZE, "received %" PRIu64,
	      world.received[READING]);
	check(world.received[STALLED] + dropped == 4 * (uint64_t)BLOCKS * BLOCK_SIZE,
	      "received %" PRIu64 ", dropped %" PRIu64, world.received[STALLED], dropped);
	point("drop: each byte was received or counted as dropped");
}

/* A block of which the client has sent a part. */
static void test_part(void)
{
	const uint32_t part = 1000;
	struct block *pinned[BLOCKS / 2];
	struct world world;
	struct cursor *cursor;

	world_begin(&world, LAG_POLICY_DROP, BLOCKS - 1);
	world_only_offer(&world);
	world_join(&world);
	cursor = &world.client[STALLED]->cursor;
	world_push(&world);
	world_push(&world);
	window_advance(world.window, cursor, part);
	world_make_room(&world);
	check(cursor->held && cursor->offset == part, "not held, offset %u", cursor->offset);
	check(world.client[STALLED]->stats.dropped_bytes == 0, "dropped %" PRIu64,
	      world.client[STALLED]->stats.dropped_bytes);
	check(ring_pinned_blocks(world.ring) == 1, "%u pinned", ring_pinned_blocks(world.ring));
	world_kick_all(&world);
	world_end(&world);
	point("drop: a client may pin a block that it has sent a part of");

	world_begin(&world, LAG_POLICY_DROP, BLOCKS - 1);
	world_only_offer(&world);
	world_join(&world);
	cursor = &world.client[STALLED]->cursor;
	for (uint32_t i = 0; i < BLOCKS / 2; i++) {
		pinned[i] = world_push(&world);
		block_pin(pinned[i]);
	}
	world_push(&world);
	window_advance(world.window, cursor, part);
	world_make_room(&world);
	check(window_copied_bytes(cursor) == BLOCK_SIZE - part, "copied %u bytes",
	      window_copied_bytes(cursor));
	check(world.client[STALLED]->stats.dropped_bytes == (BLOCKS / 2 - 1) * BLOCK_SIZE,
	      "dropped %" PRIu64, world.client[STALLED]->stats.dropped_bytes);
	check(ring_pinned_blocks(world.ring) == BLOCKS / 2, "%u pinned",
	      ring_pinned_blocks(world.ring));
	for (uint32_t i = 0; i < BLOCKS / 2; i++)
		block_unpin(pinned[i]);
	world_kick_all(&world);
	world_end(&world);
	point("drop: beyond the pin allowance the rest of the block is copied");
}

static void test_newest(void)
{
	struct block *pinned[BLOCKS - 1];
	struct world world;

	world_begin(&world, LAG_POLICY_DROP, BLOCKS - 1);
	world_only_offer(&world);
	world_join(&world);
	for (uint32_t i = 0; i < 5; i++)
		world_push(&world);
	world_make_room(&world);
	check(window_length(world.window) == 1, "%u blocks in the window",
	      window_length(world.window));
	check(ring_free_blocks(world.ring) == BLOCKS - 1, "%u free", ring_free_blocks(world.ring));
	point("drop: the newest block is kept while another one is free");

	for (uint32_t i = 0; i < BLOCKS - 1; i++) {
		pinned[i] = world_push(&world);
		block_pin(pinned[i]);
	}
	check(!ring_free_blocks(world.ring), "%u free", ring_free_blocks(world.ring));
	world_make_room(&world);
	check(ring_free_blocks(world.ring) == 1 && window_length(world.window) == 1,
	      "%u free, %u in the window", ring_free_blocks(world.ring),
	      window_length(world.window));
	world_push(&world);
	world_make_room(&world);
	check(ring_free_blocks(world.ring) == 1 && window_length(world.window) == 0,
	      "%u free, %u in the window", ring_free_blocks(world.ring),
	      window_length(world.window));
	for (uint32_t i = 0; i < BLOCKS - 1; i++)
		block_unpin(pinned[i]);
	world_kick_all(&world);
	world_end(&world);
	point("drop: without a free block, the newest one is dropped, too");
}

static void test_disconnect(void)
{
	const struct client *stalled;
	struct world world;

	world_begin(&world, LAG_POLICY_DISCONNECT, LOW_WATER);
	world_join(&world);
	world_join(&world);
	stalled = world.client[STALLED];
	for (uint32_t i = 0; i < 2 * BLOCKS; i++) {
		bool enough = ring_free_blocks(world.ring) > LOW_WATER;
		enum client_state before = stalled->state;

		world_make_room(&world);
		check(!enough || stalled->state == before, "disconnected with enough free blocks");
		check(ring_free_blocks(world.ring) > LOW_WATER, "%u blocks are free",
		      ring_free_blocks(world.ring));
		world_push(&world);
		world_offer(&world);
		world_run(&world);
	}
	check(stalled->state >= CLIENT_RESETTING, "it is still there");
	check(stalled->leave == LEAVE_TOO_SLOW, "it left for reason %d", stalled->leave);
	check(!stalled->stats.drops, "something was dropped");
	check(world.client[READING]->state == CLIENT_STREAMING, "the other one has ended, too");
	point("disconnect: only the client at the tail is reset");
	world_end(&world);
	check(world.received[READING] == 2 * (uint64_t)BLOCKS * BLOCK_SIZE, "received %" PRIu64,
	      world.received[READING]);
	point("disconnect: the other one has every byte");
}

static void test_block(void)
{
	struct world world;

	world_begin(&world, LAG_POLICY_BLOCK, LOW_WATER);
	world_only_offer(&world);
	world_join(&world);
	for (uint32_t i = 0; i < BLOCKS - 1; i++)
		world_push(&world);
	world_make_room(&world);
	check(!world.again[STALLED], "offered %u times", world.again[STALLED]);
	point("block: nothing is done while a block is free");
	world_push(&world);
	world_make_room(&world);
	check(world.again[STALLED] == 1, "offered %u times", world.again[STALLED]);
	check(!ring_free_blocks(world.ring), "%u blocks are free", ring_free_blocks(world.ring));
	check(!world.client[STALLED]->stats.drops, "something was dropped");
	check(world.client[STALLED]->state == CLIENT_STREAMING, "the client has ended");
	world_kick_all(&world);
	world_end(&world);
	point("block: without a free block new ones are offered, and nothing is lost");
}

/* Make the clients wait, as if there had been no time to offer them the blocks of the last world_push(). */
static void world_offer_nothing(struct world *world)
{
	for (uint32_t i = 0; i < world->clients; i++)
		stream_queue_add_now(&world->queue, world->client[i], CLIENT_TASK_OFFER);
	world->lag.offered = window_head(world->window);
}

static void test_no_time(void)
{
	struct world world;

	world_begin(&world, LAG_POLICY_DISCONNECT, LOW_WATER);
	world_only_offer(&world);
	world_join(&world);
	world_join(&world);
	world_push(&world);
	world_offer_nothing(&world);
	world_push(&world);
	stream_lag_offer(&world.lag);
	check(!world.again[STALLED] && !world.again[READING], "a client came before its turn");
	point("no time: during a round of the queue nothing is offered past it");

	while (ring_free_blocks(world.ring))
		world_push(&world);
	stream_lag_make_room(&world.lag);
	check(world.client[STALLED]->state == CLIENT_STREAMING, "kicked");
	check(world.lag.wants_room, "more room is not wanted");
	check(!ring_free_blocks(world.ring), "%u blocks are free", ring_free_blocks(world.ring));
	point("no time: the lag policy spares clients that wait for their turn");

	stream_queue_run(&world.queue, 0);
	check(world.again[STALLED] + world.again[READING] == 1, "%u and %u offers",
	      world.again[STALLED], world.again[READING]);
	check(stream_queue_is_in_round(&world.queue), "the round is over");
	stream_queue_run(&world.queue, UINT64_MAX);
	check(world.again[STALLED] == 1 && world.again[READING] == 1, "%u and %u offers",
	      world.again[STALLED], world.again[READING]);
	check(stream_queue_is_empty(&world.queue), "a client is left");
	point("no time: a later turn continues with the next client");

	stream_lag_make_room(&world.lag);
	check(!world.lag.wants_room, "more room is wanted");
	check(world.client[STALLED]->state > CLIENT_FINISHING, "not kicked");
	check(ring_free_blocks(world.ring) > LOW_WATER, "%u blocks are free",
	      ring_free_blocks(world.ring));
	world_kick_all(&world);
	world_end(&world);
	point("no time: after their turn the policy applies");
}

static void test_queue(void)
{
	struct stream_queue *queue;
	struct world world;

	world_begin(&world, LAG_POLICY_DROP, LOW_WATER);
	world_only_offer(&world);
	world_join(&world);
	world_join(&world);
	queue = &world.queue;
	world_push(&world);
	stream_queue_add_now(queue, world.client[0], CLIENT_TASK_SEND);
	stream_queue_add(queue, world.client[1], CLIENT_TASK_OFFER);
	stream_queue_add(queue, world.client[1], CLIENT_TASK_SEND);
	check(world.client[1]->task == CLIENT_TASK_OFFER, "task %d", world.client[1]->task);
	stream_queue_run(queue, UINT64_MAX);
	check(world.again[0] == 1 && !world.again[1], "%u, %u", world.again[0], world.again[1]);
	check(!stream_queue_is_in_round(queue) && !stream_queue_is_empty(queue), "not one left");
	point("queue: a round ends before the clients that came during it");

	stream_queue_add_kick(queue, world.client[1], LEAVE_BY_OPERATOR, NULL);
	stream_queue_add_kick(queue, world.client[1], LEAVE_ERROR, NULL);
	stream_queue_run(queue, 0);
	check(world.client[1]->state > CLIENT_FINISHING && stream_queue_is_empty(queue),
	      "not kicked");
	check(world.client[1]->leave == LEAVE_BY_OPERATOR, "for reason %d", world.client[1]->leave);
	point("queue: a client is kicked once, before all others do something");

	stream_queue_add(queue, world.client[0], CLIENT_TASK_FINISH);
	stream_queue_remove(world.client[0]);
	stream_queue_remove(world.client[0]);
	check(stream_queue_is_empty(queue), "a client is left");
	world_kick_all(&world);
	world_end(&world);
	point("queue: a client that is gone is forgotten");
}

static void test_pin_allowance(void)
{
	struct block *block;
	struct world world;

	world_begin(&world, LAG_POLICY_DROP, LOW_WATER);
	world_only_offer(&world);
	world_join(&world);
	check(ring_pin_allowance(world.ring) == BLOCKS / 2, "%u may be pinned",
	      ring_pin_allowance(world.ring));
	block = world_push(&world);
	block_pin(block);
	check(ring_pin_allowance(world.ring) == BLOCKS / 2 - 1, "%u may be pinned",
	      ring_pin_allowance(world.ring));
	block_pin(block);
	check(ring_pin_allowance(world.ring) == BLOCKS / 2 - 1, "a block counts twice");
	point("half of the ring may be pinned");

	world.settings.client.lag_policy = LAG_POLICY_BLOCK;
	world.settings.low_water = 3;
	stream_lag_adapt(&world.lag);
	check(ring_pin_allowance(world.ring) == BLOCKS - 1, "%u may be pinned",
	      ring_pin_allowance(world.ring));
	check(world.lag.low_water == 3, "low water at %u", world.lag.low_water);
	point("block: the whole ring may be pinned, as soon as the policy is changed");

	for (uint32_t i = 1; i < BLOCKS; i++)
		block_pin(world_push(&world));
	check(!ring_pin_allowance(world.ring), "%u may be pinned", ring_pin_allowance(world.ring));
	world.settings.client.lag_policy = LAG_POLICY_DROP;
	stream_lag_adapt(&world.lag);
	check(!ring_pin_allowance(world.ring), "%u may be pinned", ring_pin_allowance(world.ring));
	block_unpin(block);
	for (struct block *next; block; block = next) {
		next = block->next;
		block_unpin(block);
	}
	world_kick_all(&world);
	world_end(&world);
	point("where more is pinned than may be, the allowance is zero");
}

/* A second group of clients, with settings and a rule of its own. */
struct other_group {
	struct client_settings settings;
	struct client_group group;
	struct lag_rule rule, first_rule;
};

/* Begin with a client of the world's group, which is STALLED, and one of the other group, READING. */
static void world_begin_mixed(struct world *world, struct other_group *other, enum lag_policy first,
			      const struct client_settings *settings)
{
	world_begin(world, first, LOW_WATER);
	world_only_offer(world);
	other->settings = world->settings.client;
	other->settings.lag_policy = settings->lag_policy;
	other->settings.lag_limit = settings->lag_limit;
	other->group = world->group;
	other->group.settings = &other->settings;
	stream_lag_add(&world->lag, &other->first_rule, &world->group);
	stream_lag_add(&world->lag, &other->rule, &other->group);
	world_join(world);
	world->client[READING] =
		clientpair_join(&other->group, SMALL_BUFFER, &world->peer[READING]);
	world->clients++;
	/* As a stream has it; see stream_settings_only_blocks(). */
	world->settings.endpoints = calloc(1, sizeof(*world->settings.endpoints));
	world->settings.endpoints[0].client.lag_policy = settings->lag_policy;
	world->settings.endpoint_count = 1;
	world->settings.listen.count = 1;
	stream_lag_adapt(&world->lag);
}

static void world_end_mixed(struct world *world)
{
	stream_lag_close(&world->lag);
	world_kick_all(world);
	free(world->settings.endpoints);
	world_end(world);
}

static void check_sequences(const struct world *world, uint64_t first, uint64_t other)
{
	check(world->client[STALLED]->cursor.sequence == first, "the first client is at %" PRIu64,
	      world->client[STALLED]->cursor.sequence);
	check(world->client[READING]->cursor.sequence == other, "the other client is at %" PRIu64,
	      world->client[READING]->cursor.sequence);
}

static void world_push_and_offer(struct world *world, uint32_t blocks)
{
	for (uint32_t i = 0; i < blocks; i++)
		world_push(world);
	world_offer(world);
}

static void test_limit_bytes(void)
{
	const struct client_settings limited = { .lag_policy = LAG_POLICY_DROP,
						 .lag_limit.bytes = 2 * (uint64_t)BLOCK_SIZE };
	struct other_group other;
	struct world world;

	world_begin_mixed(&world, &other, LAG_POLICY_DROP, &limited);
	world_push_and_offer(&world, 4);
	check_sequences(&world, 0, 0);
	point("lag-limit: what came at once is offered before anybody loses it");
	world_push_and_offer(&world, 1);
	check_sequences(&world, 0, 4);
	check(world.client[READING]->stats.dropped_bytes == 4 * (uint64_t)BLOCK_SIZE,
	      "dropped %" PRIu64, world.client[READING]->stats.dropped_bytes);
	check(!world.client[STALLED]->stats.drops, "the other section lost something");
	point("lag-limit: a client beyond it skips to the newest block, while others stay");
	world_push_and_offer(&world, 1);
	check_sequences(&world, 0, 4);
	world_push_and_offer(&world, 1);
	check_sequences(&world, 0, 6);
	point("lag-limit: it is exact to a block");
	other.settings.lag_policy = LAG_POLICY_DISCONNECT;
	world_push_and_offer(&world, 2);
	check(world.client[READING]->state >= CLIENT_RESETTING &&
		      world.client[READING]->leave == LEAVE_TOO_SLOW,
	      "not disconnected");
	world_end_mixed(&world);
	point("lag-limit: a client is disconnected where the policy says so");
}

static void test_limit_age(void)
{
	const struct client_settings limited = { .lag_policy = LAG_POLICY_DROP,
						 .lag_limit.microseconds = 30000 };
	uint64_t begin = clock_monotonic_ns();
	struct other_group other;
	struct world world;

	world_begin_mixed(&world, &other, LAG_POLICY_DROP, &limited);
	world_push_and_offer(&world, 2);
	while (!world.client[READING]->stats.drops &&
	       check(clock_monotonic_ns() < begin + PATIENCE_NS, "nothing was dropped"))
		event_base_loop(world.base, EVLOOP_ONCE);
	check(clock_monotonic_ns() - begin >= 30000000, "too early");
	check_sequences(&world, 0, world.client[READING]->cursor.sequence);
	check(world.client[READING]->cursor.sequence > 0, "the client has not moved");
	world_end_mixed(&world);
	point("lag-limit: an old block is dropped although no other one comes");
}

static void test_limit_spares(void)
{
	const struct client_settings limited = { .lag_policy = LAG_POLICY_DROP,
						 .lag_limit.bytes = 2 * (uint64_t)BLOCK_SIZE };
	struct other_group other;
	struct world world;

	world_begin_mixed(&world, &other, LAG_POLICY_DROP, &limited);
	world.client[READING]->catches_up = true;
	world_push_and_offer(&world, 4);
	world_push_and_offer(&world, 1);
	check_sequences(&world, 0, 0);
	world_end_mixed(&world);
	point("lag-limit: a client that catches up with history keeps its place");

	world_begin_mixed(&world, &other, LAG_POLICY_DROP, &limited);
	world_push_and_offer(&world, 4);
	client_finish(world.client[READING]);
	world_push_and_offer(&world, 1);
	check_sequences(&world, 0, 0);
	check(world.client[READING]->state == CLIENT_FINISHING, "state %d",
	      (int)world.client[READING]->state);
	world_end_mixed(&world);
	point("lag-limit: a client that finishes gets the rest");
}

/* @limit: bytes, beside the policy */
static void test_latest(uint64_t limit)
{
	const struct client_settings latest = { .lag_policy = LAG_POLICY_LATEST,
						.lag_limit.bytes = limit };
	struct other_group other;
	struct world world;

	world_begin_mixed(&world, &other, LAG_POLICY_DROP, &latest);
	world_push_and_offer(&world, 3);
	check_sequences(&world, 0, 0);
	world_push_and_offer(&world, 2);
	check_sequences(&world, 0, 4);
	point("latest: a client that is not done when blocks come skips to the newest one");
	world_offer(&world);
	world_make_room(&world);
	check_sequences(&world, 0, 4);
	world_end_mixed(&world);
	point("latest: it keeps the newest one until others come");
}

static void test_mixed_policies(void)
{
	const struct client_settings blocks = { .lag_policy = LAG_POLICY_BLOCK };
	struct other_group other;
	struct world world;

	world_begin_mixed(&world, &other, LAG_POLICY_DROP, &blocks);
	world_push_and_offer(&world, BLOCKS - LOW_WATER);
	world_make_room(&world);
	check_sequences(&world, 0, 0);
	check(world.lag.blocked && !world.client[STALLED]->stats.drops, "somebody gave way");
	point("while a client under block is the slowest, nobody gives way");
	window_advance(world.window, &world.client[READING]->cursor, 5 * (uint64_t)BLOCK_SIZE);
	world_make_room(&world);
	check(world.client[STALLED]->stats.drops && ring_free_blocks(world.ring) > LOW_WATER,
	      "%u blocks are free", ring_free_blocks(world.ring));
	check(!world.lag.blocked, "it still waits");
	check(world.client[READING]->cursor.sequence == 5, "the other client lost blocks");
	world_end_mixed(&world);
	point("when it has moved on, the others do");
}

/* ---- history ---- */

static bool keeps_all(void *argument, const struct block *oldest)
{
	(void)argument;
	(void)oldest;
	return true;
}

static uint32_t world_retained(const struct world *world)
{
	uint64_t bytes;

	return window_retained(world->window, &bytes);
}

/* As test_drop(). @dropped: out: bytes that the stalled client lost */
static void run_with_history(bool history, uint64_t *dropped)
{
	struct world world;

	world_begin(&world, LAG_POLICY_DROP, LOW_WATER);
	if (history)
		window_set_keeper(world.window, keeps_all, NULL);
	/* Some for the history, while no client is there. */
	for (uint32_t i = 0; i < BLOCKS - LOW_WATER; i++)
		world_push(&world);
	world_join(&world);
	world_join(&world);
	for (uint32_t i = 0; i < 4 * BLOCKS; i++) {
		world_make_room(&world);
		check(ring_free_blocks(world.ring) > LOW_WATER, "%u blocks are free",
		      ring_free_blocks(world.ring));
		world_push(&world);
		world_offer(&world);
		world_run(&world);
	}
	check(!world.client[READING]->stats.drops, "the reading client lost something");
	*dropped = world.client[STALLED]->stats.dropped_bytes;
	world_end(&world);
}

static void test_history_drop(void)
{
	uint64_t with, without;

	run_with_history(false, &without);
	run_with_history(true, &with);
	check(with == without && with, "%" PRIu64 " bytes, without history %" PRIu64, with,
	      without);
	point("history: a stalled client loses as much as without it");
}

static void test_history_first(void)
{
	struct world world;

	world_begin(&world, LAG_POLICY_DISCONNECT, LOW_WATER);
	world_only_offer(&world);
	window_set_keeper(world.window, keeps_all, NULL);
	for (uint32_t i = 0; i < 20; i++)
		world_push(&world);
	world_join(&world);
	for (uint32_t i = 0; i < 4; i++)
		world_push(&world);
	world_make_room(&world);
	check(ring_free_blocks(world.ring) == 2 * LOW_WATER + 1 && world_retained(&world) == 11,
	      "%u free, %u kept", ring_free_blocks(world.ring), world_retained(&world));
	check(world.client[STALLED]->state == CLIENT_STREAMING && !world.again[STALLED],
	      "the client was touched");
	world_make_room(&world);
	check(world_retained(&world) == 11, "%u kept", world_retained(&world));
	point("history: it gives way first, some blocks at a time, and no more than that");

	for (int i = 0; i < 4 && world.client[STALLED]->state == CLIENT_STREAMING; i++) {
		while (ring_free_blocks(world.ring) > LOW_WATER)
			world_push(&world);
		check(world_retained(&world) || window_length(world.window) >= BLOCKS - LOW_WATER,
		      "%u kept", world_retained(&world));
		world_make_room(&world);
	}
	check(world.client[STALLED]->leave == LEAVE_TOO_SLOW, "not disconnected");
	world_kick_all(&world);
	world_end(&world);
	point("history: then the lag policy applies");
}

static void test_history_block(void)
{
	struct world world;

	world_begin(&world, LAG_POLICY_BLOCK, LOW_WATER);
	world_only_offer(&world);
	window_set_keeper(world.window, keeps_all, NULL);
	for (uint32_t i = 0; i < BLOCKS - LOW_WATER; i++)
		world_push(&world);
	world_join(&world);
	world_make_room(&world);
	check(ring_free_blocks(world.ring) == 2 * LOW_WATER + 1, "%u free",
	      ring_free_blocks(world.ring));
	for (uint32_t i = 0; i < 2 * BLOCKS && ring_free_blocks(world.ring); i++) {
		world_push(&world);
		world_make_room(&world);
	}
	check(!world_retained(&world) && window_length(world.window) == BLOCKS,
	      "%u kept, %u needed", world_retained(&world), window_length(world.window));
	check(world.client[STALLED]->state == CLIENT_STREAMING &&
		      !world.client[STALLED]->stats.drops,
	      "it lost something");
	world_kick_all(&world);
	world_end(&world);
	point("history: it gives way also where all clients block, up to the last block");
}

/* Completions may bring back less than the source waits for: it must not wait for what only history needs. */
static void test_history_sent(void)
{
	struct world world;

	world_begin(&world, LAG_POLICY_BLOCK, LOW_WATER);
	world_only_offer(&world);
	window_set_keeper(world.window, keeps_all, NULL);
	world_join(&world);
	while (ring_free_blocks(world.ring))
		world_push(&world);
	world.takes_all = true;
	world_make_room(&world);
	check(ring_free_blocks(world.ring) > LOW_WATER, "%u free, %u kept",
	      ring_free_blocks(world.ring), world_retained(&world));
	world_kick_all(&world);
	world_end(&world);
	point("history: it gives way also with what was sent for lack of room");
}

/* A client that begins in the past, in the group with a rule; one that is there from the start, too. */
static void test_history_rules(const struct client_settings *settings, const char *title)
{
	static const struct stream_frames no_frames;
	static const struct stream_preamble no_preamble;
	struct stream_history history;
	struct other_group other;
	struct world world;
	struct client *later;

	world_begin_mixed(&world, &other, LAG_POLICY_DROP, settings);
	stream_history_init(&history, world.base, &world.settings, world.window, &no_frames,
			    &no_preamble);
	window_set_keeper(world.window, keeps_all, NULL);
	world_push_and_offer(&world, 6);
	window_advance(world.window, &world.client[READING]->cursor, 6 * (uint64_t)BLOCK_SIZE);
	world_push_and_offer(&world, 3);
	/* Blocks 0 to 8 are there: it begins with block 1. */
	other.group.history = &history;
	other.settings.start = (struct client_start){ .kind = CLIENT_START_BYTES,
						      .bytes = 8 * (uint64_t)BLOCK_SIZE };
	later = clientpair_join(&other.group, SMALL_BUFFER, &world.peer[LATER]);
	world.client[LATER] = later;
	world.clients++;
	world_push_and_offer(&world, 1);
	check_sequences(&world, 0, 9);
	check(later->cursor.sequence == 1 && !later->stats.drops, "it is at %" PRIu64,
	      later->cursor.sequence);
	window_advance(world.window, &later->cursor, 5 * (uint64_t)BLOCK_SIZE);
	world_push_and_offer(&world, 4);
	check(later->cursor.sequence == 6 && !later->stats.drops, "it is at %" PRIu64,
	      later->cursor.sequence);
	check(world.client[READING]->cursor.sequence >= 12, "the other one is at %" PRIu64,
	      world.client[READING]->cursor.sequence);
	point("%s: a client in history is spared, the others are not", title);

	window_advance(world.window, &later->cursor, 8 * (uint64_t)BLOCK_SIZE);
	client_send(later);
	world_push_and_offer(&world, 4);
	check(!later->stats.drops, "it lost something");
	world_push_and_offer(&world, 1);
	check(later->stats.drops == 1, "%" PRIu64 " drops", later->stats.drops);
	world_end_mixed(&world);
	point("%s: when it has caught up once, it is as the others", title);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	test_offer();
	test_drop();
	test_part();
	test_newest();
	test_disconnect();
	test_block();
	test_no_time();
	test_queue();
	test_pin_allowance();
	test_limit_bytes();
	test_limit_age();
	test_limit_spares();
	test_latest(0);
	test_latest(8 * (uint64_t)BLOCK_SIZE);
	test_mixed_policies();
	test_history_drop();
	test_history_first();
	test_history_block();
	test_history_sent();
	test_history_rules(&(struct client_settings){ .lag_policy = LAG_POLICY_DROP,
						      .lag_limit.bytes = 2 * (uint64_t)BLOCK_SIZE },
			   "lag-limit");
	test_history_rules(&(struct client_settings){ .lag_policy = LAG_POLICY_LATEST }, "latest");
	return tap_end();
}
