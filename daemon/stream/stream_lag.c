// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_lag.h"

#include "lib/clock.h"
#include "lib/priority.h"
#include "lib/state.h"
#include "stream/client.h"
#include "stream/stream_events.h"
#include "stream/stream_queue.h"

#include <inttypes.h>
#include <stdbool.h>

#define PINNED_DIVISOR 2

/* Bytes of history that are given up together, so that the source need not read block by block. */
#define SPARE_BYTES (1U << 20)

/* Shortest time between two looks at the age of blocks, in microseconds. */
#define MIN_AGE_INTERVAL_US 5000

static void lag_age_due(evutil_socket_t fd, short what, void *argument);

void stream_lag_init(struct stream_lag *lag, struct event_base *base,
		     const struct stream_settings *settings, struct window *window,
		     struct stream_queue *queue)
{
	*lag = (struct stream_lag){ .settings = settings, .window = window, .queue = queue };
	TAILQ_INIT(&lag->rules);
	evtimer_assign(&lag->age_timer, base, lag_age_due, lag);
	stream_lag_adapt(lag);
}

void stream_lag_add(struct stream_lag *lag, struct lag_rule *rule, const struct client_group *group)
{
	rule->group = group;
	TAILQ_INSERT_TAIL(&lag->rules, rule, entry);
}

void stream_lag_remove(struct stream_lag *lag, struct lag_rule *rule)
{
	TAILQ_REMOVE(&lag->rules, rule, entry);
}

void stream_lag_close(struct stream_lag *lag)
{
	evtimer_del(&lag->age_timer);
}

void stream_lag_adapt(struct stream_lag *lag)
{
	const struct stream_settings *settings = lag->settings;
	uint32_t blocks = (uint32_t)stream_settings_blocks(settings);
	struct lag_rule *rule;

	lag->low_water = (uint32_t)stream_settings_low_water(settings);
	lag->spare = (uint32_t)(SPARE_BYTES / settings->block_size);
	if (lag->spare > lag->low_water)
		lag->spare = lag->low_water;
	if (!stream_settings_only_blocks(settings))
		blocks /= PINNED_DIVISOR;
	if (lag->ring)
		ring_set_max_pinned(lag->ring, blocks);
	TAILQ_FOREACH (rule, &lag->rules, entry)
		rule->applied = 0;
	evtimer_del(&lag->age_timer);
}

void stream_lag_set_ring(struct stream_lag *lag, struct ring *ring)
{
	lag->ring = ring;
	stream_lag_adapt(lag);
}

/* ---- giving way ---- */

/* @why: text for the log */
static void lag_drop_for(struct stream_lag *lag, struct client *client, const char *why)
{
	struct client_lag behind = client_lag(client, clock_monotonic_ns());
	struct window_gap lost;

	/* A client without the rest of its block would not know where the next one begins. */
	if (!window_skip(lag->window, &client->cursor, ring_pin_allowance(lag->ring) > 0, &lost)) {
		client_kick(client, LEAVE_TOO_SLOW,
			    "too slow, and no memory for the rest of its block");
		return;
	}
	if (!lost.bytes)
		return;
	client->stats.dropped_bytes += lost.bytes;
	client->stats.drops++;
	stream_events_dropped(client, &lost);
	/* To skip is all that `latest` is for. */
	if (client->group->settings->lag_policy == LAG_POLICY_LATEST)
		return;
	log_limited(&lag->drop_log, LOG_LEVEL_NOTICE,
		    "stream %s: client %s lags %" PRIu64 " bytes, %" PRIu64 " ms: dropped %" PRIu64
		    " bytes for it (%s)",
		    client->group->stream_name, client->peer_text, behind.bytes,
		    behind.ns / 1000000, lost.bytes, why);
}

static void lag_disconnect(struct stream_lag *lag, struct client *client, const char *why)
{
	struct client_lag behind = client_lag(client, clock_monotonic_ns());

	log_limited(&lag->kick_log, LOG_LEVEL_NOTICE,
		    "stream %s: client %s lags %" PRIu64 " bytes, %" PRIu64 " ms: kicked (%s)",
		    client->group->stream_name, client->peer_text, behind.bytes,
		    behind.ns / 1000000, why);
	/* model: disconnect */
	client_kick(client, LEAVE_TOO_SLOW, NULL);
}

/* Return what the log says of a client that gives way. @limit: because of lag-limit */
static const char *lag_reason(enum lag_policy policy, bool limit)
{
	if (limit)
		return "lag-limit";
	return policy == LAG_POLICY_DISCONNECT ? "lag-policy = disconnect" : "lag-policy = drop";
}

static void lag_give_way(struct stream_lag *lag, struct client *client, bool limit)
{
	enum lag_policy policy = (enum lag_policy)client->group->settings->lag_policy;
	const char *why = lag_reason(policy, limit);

	if (policy == LAG_POLICY_DISCONNECT)
		lag_disconnect(lag, client, why);
	else
		lag_drop_for(lag, client, why);
}

/* ---- rules ---- */

/* Return true if the client is behind because there was no time for it yet. */
static bool lag_spares(const struct client *client)
{
	return client->queue && client->task != CLIENT_TASK_SEND;
}

static bool lag_has_rule(const struct client_settings *settings)
{
	if (settings->lag_policy == LAG_POLICY_BLOCK)
		return false;
	return settings->lag_policy == LAG_POLICY_LATEST || settings->lag_limit.bytes ||
	       settings->lag_limit.microseconds;
}

/* Return true if a client that has not sent @block gives way. */
static bool lag_is_beyond(const struct stream_lag *lag, const struct client_settings *settings,
			  const struct block *block, uint64_t now_ns)
{
	const struct lag_limit *limit = &settings->lag_limit;

	if (settings->lag_policy == LAG_POLICY_LATEST)
		return true;
	if (limit->bytes)
		return window_bytes(lag->window) - block->position - block->length >= limit->bytes;
	return block_age(block, now_ns) >= limit->microseconds * 1000;
}

/* Return false if clients are left that there was no time for; the next offer tries again. */
static bool lag_apply_at(struct stream_lag *lag, const struct lag_rule *rule, uint64_t until_ns)
{
	struct cursor *cursor, *next;
	bool complete = true;

	TAILQ_FOREACH_SAFE (cursor, window_at(lag->window, rule->applied), entry, next) {
		struct client *client = client_of(cursor);

		/* One that is finishing gets the rest. */
		if (client->group != rule->group || client->state != CLIENT_STREAMING ||
		    client->catches_up)
			continue;
		if (clock_monotonic_ns() >= until_ns)
			return false;
		if (lag_spares(client))
			complete = false;
		else
			lag_give_way(lag, client, true);
	}
	return complete;
}

/* Return true if the rule has a place to look at. The tail may have moved on since the last time. */
static bool lag_find_place(const struct stream_lag *lag, struct lag_rule *rule, uint64_t end)
{
	uint64_t tail = window_head(lag->window) - window_length(lag->window);

	if (rule->applied < tail)
		rule->applied = tail;
	return rule->applied < end;
}

/* @end: sequence of the first block whose clients are not behind */
static void lag_apply(struct stream_lag *lag, struct lag_rule *rule, uint64_t end, uint64_t now_ns)
{
	const struct client_settings *settings = rule->group->settings;

	if (!lag_has_rule(settings))
		return;
	while (lag_find_place(lag, rule, end) &&
	       lag_is_beyond(lag, settings, window_block_at(lag->window, rule->applied), now_ns)) {
		if (!lag_apply_at(lag, rule, now_ns + MAX_CALLBACK_NS))
			break;
		rule->applied++;
	}
}

/* Return the monotonic time at which this rule can apply to one more block by its age; UINT64_MAX: never. */
static uint64_t lag_next_age(const struct stream_lag *lag, struct lag_rule *rule)
{
	const struct client_settings *settings = rule->group->settings;

	if (!lag_has_rule(settings) || settings->lag_policy == LAG_POLICY_LATEST ||
	    !settings->lag_limit.microseconds ||
	    !lag_find_place(lag, rule, window_head(lag->window)))
		return UINT64_MAX;
	return window_block_at(lag->window, rule->applied)->monotonic_ns +
	       settings->lag_limit.microseconds * 1000;
}

/* Blocks age also while none come. Without memory for the timer this waits for the next blocks. */
static void lag_watch_age(struct stream_lag *lag, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX, delay_us = MIN_AGE_INTERVAL_US;
	struct lag_rule *rule;
	struct timeval delay;

	if (evtimer_pending(&lag->age_timer, NULL))
		return;
	TAILQ_FOREACH (rule, &lag->rules, entry) {
		uint64_t age_ns = lag_next_age(lag, rule);

		if (age_ns < next_ns)
			next_ns = age_ns;
	}
	if (next_ns == UINT64_MAX)
		return;
	if (next_ns > now_ns + MIN_AGE_INTERVAL_US * 1000)
		delay_us = (next_ns - now_ns) / 1000 + 1;
	delay = clock_timeval(delay_us);
	evtimer_add(&lag->age_timer, &delay);
}

/* @has_new: blocks entered the window and were not offered yet, so that there is something newer */
static void lag_apply_rules(struct stream_lag *lag, bool has_new)
{
	uint64_t now_ns = TAILQ_EMPTY(&lag->rules) ? 0 : clock_monotonic_ns();
	struct lag_rule *rule;

	TAILQ_FOREACH (rule, &lag->rules, entry) {
		if (has_new || rule->group->settings->lag_policy != LAG_POLICY_LATEST)
			lag_apply(lag, rule, lag->offered, now_ns);
	}
}

static void lag_age_due(evutil_socket_t fd, short what, void *argument)
{
	struct stream_lag *lag = argument;

	(void)fd;
	(void)what;
	lag_apply_rules(lag, false);
	lag_watch_age(lag, clock_monotonic_ns());
}

/* ---- offering and making room ---- */

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

static void lag_offer_new(struct stream_lag *lag)
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

void stream_lag_offer(struct stream_lag *lag)
{
	lag_apply_rules(lag, lag->offered != window_head(lag->window));
	lag_offer_new(lag);
	if (window_length(lag->window))
		lag_watch_age(lag, clock_monotonic_ns());
}

static bool lag_may_block(const struct stream_lag *lag)
{
	const struct lag_rule *rule;

	TAILQ_FOREACH (rule, &lag->rules, entry) {
		if (rule->group->settings->lag_policy == LAG_POLICY_BLOCK)
			return true;
	}
	return false;
}

/* Return true if a client under `block` is at the tail: only when it moves on, blocks can come back. */
static bool lag_tail_blocks(const struct stream_lag *lag)
{
	uint64_t tail = window_head(lag->window) - window_length(lag->window);
	struct cursor *cursor;

	/* Thousands of clients may be there, and this is called for each of them that gives way. */
	if (!lag_may_block(lag))
		return false;
	TAILQ_FOREACH (cursor, window_at(lag->window, tail), entry) {
		if (client_of(cursor)->group->settings->lag_policy == LAG_POLICY_BLOCK)
			return true;
	}
	return false;
}

/* Return true if the ring is at the low-water mark, and history cannot change that. */
static bool lag_is_low(struct stream_lag *lag)
{
	if (ring_free_blocks(lag->ring) > lag->low_water)
		return false;
	while (ring_free_blocks(lag->ring) <= lag->low_water + lag->spare &&
	       window_release_oldest(lag->window))
		;
	return ring_free_blocks(lag->ring) <= lag->low_water;
}

static void lag_apply_policy(struct stream_lag *lag)
{
	uint64_t until_ns = clock_monotonic_ns() + MAX_CALLBACK_NS;

	while (lag_is_low(lag)) {
		struct cursor *slowest = window_slowest(lag->window);

		/* Keep the newest block while the source has another one to fill. */
		if (!slowest || (window_length(lag->window) == 1 && ring_free_blocks(lag->ring)))
			break;
		lag->blocked = lag_tail_blocks(lag);
		if (lag->blocked)
			break;
		lag->wants_room =
			lag_spares(client_of(slowest)) || clock_monotonic_ns() >= until_ns;
		if (lag->wants_room)
			break;
		/* model: make_room */
		lag_give_way(lag, client_of(slowest), false);
	}
}

void stream_lag_make_room(struct stream_lag *lag)
{
	bool may_wait = stream_settings_only_blocks(lag->settings);

	lag->wants_room = false;
	lag->blocked = false;
	/* First of all, since offering each block by itself would cost a send for each. */
	if (!lag_is_low(lag))
		return;
	/* The source need not wait yet. */
	if (may_wait && ring_free_blocks(lag->ring))
		return;
	/* Clients get the chance to take new blocks before any of them loses some. */
	stream_lag_offer(lag);
	/* What they sent now is history, and the source would wait for it: nothing releases it later. */
	if (lag_is_low(lag) && !may_wait)
		lag_apply_policy(lag);
}

void stream_lag_transfer(struct stream_lag *lag, struct state *state)
{
	state_enter(state, "lag");
	state_u64(state, "offered", &lag->offered);
	state_bool(state, "wants_room", &lag->wants_room);
	state_bool(state, "blocked", &lag->blocked);
	log_limit_transfer(&lag->drop_log, state, "drop_log");
	log_limit_transfer(&lag->kick_log, state, "kick_log");
	if (!state_is_saving(state) && lag->offered > window_head(lag->window))
		state_fail(state, "offered: blocks that did not come yet");
	state_leave(state);
	if (!state_is_saving(state) && !state_failed(state))
		lag_watch_age(lag, clock_monotonic_ns());
}
