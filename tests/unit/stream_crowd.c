// SPDX-License-Identifier: BSD-2-Clause
/*
 * The clients of a section by their address: random joins, leaves, half-closes and releases beside a model that
 * looks at all clients. The clients have no sockets, so each of their peers has acknowledged everything.
 */
#include "lib/log.h"
#include "stream/stream_crowd.h"

#include "dice.h"
#include "tap.h"

#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLIENTS 64U
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static char stream_name_text[] = "test";

/* The same host for a number above and the number behind it in `host_of`. */
static const char *const address_text[] = {
	"192.0.2.1", "192.0.2.2",   "::ffff:192.0.2.1", "::ffff:192.0.2.2",
	"::1",	     "2001:db8::1", "::192.0.2.1",	"2001:db8:0:1::1",
};
static const unsigned int host_of[] = { 0, 1, 0, 1, 4, 5, 6, 7 };

struct model_client {
	struct client client;
	unsigned int host;
	bool joined, half_closed, owes, proven;
};

static struct {
	struct event_base *base;
	struct stream_settings settings;
	struct window *window;
	struct stream_memory memory;
	struct client_group group;
	struct stream_crowd crowd;
	struct model_client *all;
	unsigned int size;   /* elements of `all` */
	struct client *gone; /* the last one that was released */
} world;

static void model_gone(void *argument, struct client *client)
{
	(void)argument;
	world.gone = client;
	stream_crowd_leave(&world.crowd, client);
}

static const struct client_callbacks model_callbacks = { .gone = model_gone };

static void model_begin(unsigned int size)
{
	memset(&world, 0, sizeof(world));
	world.base = event_base_new();
	world.window = window_create(1);
	world.all = calloc(size, sizeof(*world.all));
	world.size = size;
	if (!world.base || !world.window || !world.all)
		errx(1, "no memory");
	stream_memory_init(&world.memory, &world.settings.client, 1 << 20);
	world.group = (struct client_group){ .base = world.base,
					     .stream_name = stream_name_text,
					     .settings = &world.settings.client,
					     .window = world.window,
					     .memory = &world.memory,
					     .callbacks = &model_callbacks };
	stream_crowd_init(&world.crowd);
}

static struct sockaddr_storage model_peer(unsigned int address)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&storage;

	if (inet_pton(AF_INET, address_text[address], &in->sin_addr) == 1)
		in->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, address_text[address], &in6->sin6_addr) == 1)
		in6->sin6_family = AF_INET6;
	else
		errx(1, "%s: no address", address_text[address]);
	return storage;
}

static void model_join(struct model_client *model, unsigned int address)
{
	struct sockaddr_storage peer = model_peer(address);
	struct crowd_host *host =
		stream_crowd_reserve(&world.crowd, (const struct sockaddr *)&peer);
	struct client *client = &model->client;

	if (!host)
		errx(1, "no memory");
	memset(model, 0, sizeof(*model));
	client->group = &world.group;
	client->state = CLIENT_STREAMING;
	client->zerocopy.fd = -1;
	event_assign(&client->event, world.base, -1, 0, NULL, NULL);
	window_join(world.window, &client->cursor, window_head(world.window));
	stream_crowd_join(&world.crowd, client, host);
	model->joined = true;
	model->host = host_of[address];
}

/* Nothing was sent since the peer half-closed. A client that is closing is not released. */
static void model_half_close(struct model_client *model, bool owes)
{
	model->client.input_ended = true;
	/* In the future: no test takes long enough to prove the peer by time. */
	model->client.input_end_ns = UINT64_MAX / 2;
	if (owes) {
		window_leave(world.window, &model->client.cursor);
		model->client.state = CLIENT_CLOSING;
	}
	stream_crowd_add_half_closed(&world.crowd, &model->client);
	model->half_closed = true;
	model->owes = owes;
}

/* The peer has acknowledged data that was sent after it half-closed. */
static void model_prove(struct model_client *model)
{
	model->client.stats.sent_bytes++;
	model->proven = true;
}

static void model_leave(struct model_client *model)
{
	if (!model->owes)
		window_leave(world.window, &model->client.cursor);
	stream_crowd_leave(&world.crowd, &model->client);
	model->joined = false;
}

static bool model_can_release(const struct model_client *model)
{
	return model->joined && model->half_closed && !model->owes && !model->proven;
}

/* Return the number of clients of the host, or of all hosts for NULL, that @matches. */
static uint64_t model_count(const unsigned int *host,
			    bool (*matches)(const struct model_client *model))
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < world.size; i++) {
		const struct model_client *model = &world.all[i];

		count += model->joined && (!host || model->host == *host) && matches(model);
	}
	return count;
}

static bool model_is_there(const struct model_client *model)
{
	return model->joined;
}

static void check_model_counts(void)
{
	for (unsigned int i = 0; i < LENGTH(address_text); i++) {
		struct sockaddr_storage peer = model_peer(i);
		uint64_t got = stream_crowd_count_from(&world.crowd, (struct sockaddr *)&peer);
		uint64_t wanted = model_count(&host_of[i], model_is_there);

		check(got == wanted, "%s: %" PRIu64 ", not %" PRIu64, address_text[i], got, wanted);
	}
	check(world.crowd.count == model_count(NULL, model_is_there), "%" PRIu64 " clients",
	      world.crowd.count);
}

/* Note the client that was released, if any. */
static bool model_try_release(const struct sockaddr *peer)
{
	struct model_client *model;
	bool released;

	world.gone = NULL;
	released = stream_crowd_release_one(&world.crowd, peer);
	check(released == (world.gone != NULL), "released: %d", released);
	if (!world.gone)
		return false;
	model = (struct model_client *)(void *)world.gone;
	check(model_can_release(model), "a client was released that is needed");
	check(world.gone->leave == LEAVE_HALF_CLOSED, "for reason %d", world.gone->leave);
	model->joined = false;
	return true;
}

static void check_model_try_release(unsigned int address)
{
	struct sockaddr_storage storage = model_peer(address);
	const struct sockaddr *peer = (const struct sockaddr *)&storage;
	bool any = address % 2;
	const unsigned int *host = any ? NULL : &host_of[address];
	uint64_t before = model_count(host, model_can_release);

	check(model_try_release(any ? NULL : peer) == (before != 0),
	      "%" PRIu64 " could be released", before);
	check(model_count(host, model_can_release) == before - (before != 0),
	      "one of another address was released");
}

static void model_random_step(struct dice *dice)
{
	struct model_client *model = &world.all[dice_roll(dice, 0, world.size - 1)];
	unsigned int address = dice_roll(dice, 0, LENGTH(address_text) - 1);

	if (!model->joined)
		model_join(model, address);
	else if (dice_one_in(dice, 4))
		check_model_try_release(address);
	else if (!model->half_closed && dice_one_in(dice, 2))
		model_half_close(model, dice_one_in(dice, 2));
	else if (model->half_closed && !model->proven && dice_one_in(dice, 4))
		model_prove(model);
	else
		model_leave(model);
}

static void model_end(void)
{
	for (unsigned int i = 0; i < world.size; i++) {
		if (world.all[i].joined)
			model_leave(&world.all[i]);
	}
	check(!world.crowd.count && TAILQ_EMPTY(&world.crowd.clients) &&
		      TAILQ_EMPTY(&world.crowd.half_closed) && RB_EMPTY(&world.crowd.hosts),
	      "something is left");
	window_destroy(world.window);
	event_base_free(world.base);
	free(world.all);
}

static void test_random_crowd(uint64_t steps, uint64_t seed)
{
	struct dice dice = { seed };

	/* As many half-closed clients as one call looks at, so that it finds each. */
	model_begin(MAX_CLIENTS);
	for (uint64_t i = 0; i < steps && !tap.failed; i++) {
		model_random_step(&dice);
		if (i % 8 == 0)
			check_model_counts();
	}
	model_end();
	point("random clients: counts by address and releases are those of a model, seed %" PRIu64,
	      seed);
}

static void test_crowd_cancel(void)
{
	struct sockaddr_storage storage = model_peer(0);
	const struct sockaddr *peer = (const struct sockaddr *)&storage;
	struct crowd_host *host;

	model_begin(1);
	host = stream_crowd_reserve(&world.crowd, peer);
	check(host && stream_crowd_count_from(&world.crowd, peer) == 1, "not counted");
	model_join(&world.all[0], 2);
	check(stream_crowd_count_from(&world.crowd, peer) == 2, "counted apart");
	stream_crowd_cancel(&world.crowd, host);
	check(stream_crowd_count_from(&world.crowd, peer) == 1, "counted on");
	model_end();
	point("a client that could not be made is not counted");
}

/* Many stalled half-closed clients, and behind them one that can go: calls have a limit, and come to it. */
static void test_crowd_limit(unsigned int clients)
{
	unsigned int calls = 1;

	model_begin(clients);
	for (unsigned int i = 0; i < clients; i++) {
		model_join(&world.all[i], 0);
		model_half_close(&world.all[i], i + 1 < clients);
	}
	while (!model_try_release(NULL) && calls < clients)
		calls++;
	check(calls > 1, "all %u clients were looked at in one call", clients);
	check(calls <= clients / 32, "only after %u calls", calls);
	check(world.gone == &world.all[clients - 1].client, "another one");
	model_end();
	point("a call looks at a limited number of clients, and the next one at others");
}

int main(int argc, char **argv)
{
	uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	log_init("test");
	test_crowd_cancel();
	test_crowd_limit(1000);
	test_random_crowd(steps, seed);
	return tap_end();
}
