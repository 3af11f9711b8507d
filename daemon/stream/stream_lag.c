// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_lag.h"

#include "lib/clock.h"
#include "lib/priority.h"
#include "stream/client.h"
#include "stream/stream_queue.h"

#include <inttypes.h>
#include <stdbool.h>

#define PINNED_DIVISOR 2

void stream_lag_init(struct stream_lag *lag, const struct stream_settings *settings,
		     struct window *window, struct stream_queue *queue)
{
	*lag = (struct stream_lag){ .settings = settings, .window = window, .queue = queue };
	stream_lag_adapt(lag);
}

void stream_lag_adapt(struct stream_lag *lag)
{
	const struct stream_settings *settings = lag->settings;
	uint32_t blocks = (uint32_t)stream_settings_blocks(settings);

	lag->low_water = (uint32_t)stream_settings_low_water(settings);
	if (settings->client.lag_policy != LAG_POLICY_BLOCK)
		blocks /= PINNED_DIVISOR;
	if (lag->ring)
		ring_set_max_pinned(lag->ring, blocks);
}

void stream_lag_set_ring(struct stream_lag *lag, struct ring *ring)
{
	lag->ring = ring;
	stream_lag_adapt(lag);
}

/* Call @offer for each client that has everything before the blocks from @first to the head. */
static void lag_each_current(struct stream_lag *lag, uint64_t first,
			     void (*offer)(struct stream_lag *lag, struct client *client))
{
	uint64_t head = window_head(lag->window);

	for (; first != head; first++) {
		struct cursor *cursor, *next;

		/* Sending may have moved the tail beyond this block. */
		if (head - first > window_length(lag->window))
			continue;
		TAILQ_FOREACH_SAFE (cursor, window_at(lag->window, first), entry, next)
			offer(lag, client_of(cursor));
	}
}

/* Those that come too late for this callback begin a round, which takes the next turns of the loop. */
static void lag_offer_now(struct stream_lag *lag, struct client *client)
{
	if (lag->offering_until_ns && clock_monotonic_ns() >= lag->offering_until_ns)
		lag->offering_until_ns = 0;
	if (lag->offering_until_ns)
		client_send(client);
	else
		stream_queue_add_now(lag->queue, client, CLIENT_TASK_OFFER);
}

static void lag_offer_later(struct stream_lag *lag, struct client *client)
{
	stream_queue_add(lag->queue, client, CLIENT_TASK_OFFER);
}

void stream_lag_offer(struct stream_lag *lag)
{
	uint64_t head = window_head(lag->window);
	uint64_t first = head - window_length(lag->window);

	if (lag->offered > first)
		first = lag->offered;
	lag->offered = head;
	if (stream_queue_is_in_round(lag->queue)) {
		lag_each_current(lag, first, lag_offer_later);
		return;
	}
	lag->offering_until_ns = clock_monotonic_ns() + MAX_CALLBACK_NS;
	lag_each_current(lag, first, lag_offer_now);
}

static void lag_drop_for(struct stream_lag *lag, struct client *client)
{
	struct client_lag behind = client_lag(client, clock_monotonic_ns());
	uint64_t dropped;

	/* A client without the rest of its block would not know where the next one begins. */
	if (!window_skip(lag->window, &client->cursor, ring_pin_allowance(lag->ring) > 0,
			 &dropped)) {
		client_kick(client, LEAVE_TOO_SLOW,
			    "too slow, and no memory for the rest of its block");
		return;
	}
	if (!dropped)
		return;
	client->stats.dropped_bytes += dropped;
	client->stats.drops++;
	log_limited(&lag->drop_log, LOG_LEVEL_NOTICE,
		    "stream %s: client %s lags %" PRIu64 " bytes, %" PRIu64 " ms: dropped %" PRIu64
		    " bytes for it (lag-policy = drop)",
		    lag->settings->name, client->peer_text, behind.bytes, behind.ns / 1000000,
		    dropped);
}

static void lag_disconnect(struct stream_lag *lag, struct client *client)
{
	struct client_lag behind = client_lag(client, clock_monotonic_ns());

	log_limited(&lag->kick_log, LOG_LEVEL_NOTICE,
		    "stream %s: client %s lags %" PRIu64 " bytes, %" PRIu64
		    " ms: kicked (lag-policy = disconnect)",
		    lag->settings->name, client->peer_text, behind.bytes, behind.ns / 1000000);
	client_kick(client, LEAVE_TOO_SLOW, NULL);
}

/* Return true if the client is behind because there was no time for it yet. */
static bool lag_spares(const struct client *client)
{
	return client->queue && client->task != CLIENT_TASK_SEND;
}

static void lag_apply_policy(struct stream_lag *lag)
{
	uint64_t until_ns = clock_monotonic_ns() + MAX_CALLBACK_NS;

	while (ring_free_blocks(lag->ring) <= lag->low_water) {
		struct cursor *slowest = window_slowest(lag->window);

		/* Keep the newest block while the source has another one to fill. */
		if (!slowest || (window_length(lag->window) == 1 && ring_free_blocks(lag->ring)))
			break;
		lag->wants_room =
			lag_spares(client_of(slowest)) || clock_monotonic_ns() >= until_ns;
		if (lag->wants_room)
			break;
		if (lag->settings->client.lag_policy == LAG_POLICY_DISCONNECT)
			lag_disconnect(lag, client_of(slowest));
		else
			lag_drop_for(lag, client_of(slowest));
	}
}

void stream_lag_make_room(struct stream_lag *lag)
{
	bool may_wait = lag->settings->client.lag_policy == LAG_POLICY_BLOCK;

	lag->wants_room = false;
	/* The source need not wait yet, and offering each block by itself would cost a send for each. */
	if (may_wait && ring_free_blocks(lag->ring))
		return;
	/* Clients get the chance to take new blocks before any of them loses some. */
	stream_lag_offer(lag);
	if (may_wait)
		return;
	lag_apply_policy(lag);
}
