// SPDX-License-Identifier: BSD-2-Clause
/*
 * The queue of what clients send, with clients and a source that are numbers only: random steps, and after each
 * a comparison with a plain list of all bytes that were queued.
 */
#include "dice.h"
#include "lib/settings.h"
#include "statejson.h"
#include "statepass.h"
#include "stream/stream_input.h"
#include "tap.h"

#include <err.h>
#include <event2/event.h>
#include <inttypes.h>

#define CLIENTS 12U
#define STEPS 20000U
/* More than all clients read in STEPS. */
#define MAX_QUEUED ((size_t)256 << 20)

struct input_test_client {
	struct input_turn turn;
	size_t unit;
	size_t unread;
	uint64_t read; /* bytes */
	unsigned int reads;
	unsigned int first_reads; /* of client 0, when this one was read last */
};

static struct {
	struct event_base *base;
	struct stream_input input;
	struct input_stats stats;
	struct dice dice;
	struct input_test_client client[CLIENTS];
	unsigned char *queued; /* all bytes that were queued, in their order */
	size_t queued_bytes, written;
	size_t room; /* bytes that the source takes */
	bool broken;
	uint64_t received;
	unsigned int writes;
} input_test;

/* Byte @number of a client: its index in the high bits, so that a mixture shows. */
static unsigned char input_test_byte(size_t client, uint64_t number)
{
	return (unsigned char)(client << 4 | (number * 7 + number / 11) % 16);
}

static ssize_t input_test_write(void *argument, const void *bytes, size_t length)
{
	size_t n = length < input_test.room ? length : input_test.room;

	check(argument == &input_test, "another argument");
	check(length > 0, "a write of nothing");
	input_test.writes++;
	if (input_test.broken)
		return -1;
	check(input_test.written + n <= input_test.queued_bytes &&
		      !memcmp(bytes, input_test.queued + input_test.written, n),
	      "other bytes at %zu", input_test.written);
	input_test.written += n;
	input_test.room -= n;
	return (ssize_t)n;
}

/* Do as a client does with its socket. */
static void input_test_read(struct input_turn *turn)
{
	struct input_test_client *client = (void *)turn;
	size_t index = (size_t)(client - input_test.client);
	size_t bytes = stream_input_piece(&input_test.input, turn, client->unread, client->unit);
	unsigned char piece[MAX_CLIENT_INPUT];
	uint64_t discarded = input_test.stats.discarded_bytes;

	check(bytes <= MAX_CLIENT_INPUT && bytes <= client->unread &&
		      (!client->unit || bytes % client->unit == 0),
	      "%zu of %zu bytes, in units of %zu", bytes, client->unread, client->unit);
	for (size_t i = 0; i < bytes; i++)
		piece[i] = input_test_byte(index, client->read + i);
	if (bytes) {
		client->reads++;
		client->first_reads = input_test.client[0].reads;
		client->read += bytes;
		client->unread -= bytes;
		input_test.received += bytes;
		stream_input_add(&input_test.input, piece, bytes);
		if (input_test.stats.discarded_bytes == discarded) {
			if (input_test.queued_bytes + bytes > MAX_QUEUED)
				errx(1, "more than a test queues");
			memcpy(input_test.queued + input_test.queued_bytes, piece, bytes);
			input_test.queued_bytes += bytes;
		}
	}
	if (client->unread && client->unread >= client->unit)
		stream_input_wait(&input_test.input, turn);
}

static const struct stream_input_callbacks input_test_callbacks = {
	.write = input_test_write,
	.read = input_test_read,
};

static void input_test_init(void)
{
	if (!stream_input_init(&input_test.input, input_test.base, &input_test_callbacks,
			       &input_test, &input_test.stats))
		errx(1, "no memory");
}

static void input_test_begin(uint64_t seed)
{
	static const size_t units[] = { 0, 5, 1, 7, MAX_CLIENT_INPUT, 1000 };
	unsigned char *queued = input_test.queued;

	memset(&input_test, 0, sizeof(input_test));
	input_test.queued = queued ? queued : malloc(MAX_QUEUED);
	input_test.dice.state = seed;
	input_test.base = event_base_new();
	if (!input_test.base || !input_test.queued)
		errx(1, "no memory");
	input_test_init();
	for (size_t i = 0; i < CLIENTS; i++)
		input_test.client[i].unit = units[i % (sizeof(units) / sizeof(units[0]))];
}

static void input_test_end(void)
{
	for (size_t i = 0; i < CLIENTS; i++)
		stream_input_forget(&input_test.input, &input_test.client[i].turn);
	stream_input_free(&input_test.input);
	event_base_free(input_test.base);
}

static void input_test_loop(void)
{
	event_base_loop(input_test.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* The peer of a client has sent @bytes. */
static void input_test_send(struct input_test_client *client, size_t bytes)
{
	client->unread += bytes;
	input_test_read(&client->turn);
}

static void input_test_lose_queue(void)
{
	input_test.written = input_test.queued_bytes;
}

static void input_test_end_run(void)
{
	stream_input_end_run(&input_test.input);
	input_test_lose_queue();
	input_test.broken = false;
}

static void input_test_check(void)
{
	size_t queued = stream_input_queued(&input_test.input);

	/* A write that failed discards the queue. */
	if (input_test.input.state == STREAM_INPUT_REFUSED)
		input_test_lose_queue();
	check(queued <= STREAM_INPUT_BYTES, "%zu bytes are queued", queued);
	check(queued == input_test.queued_bytes - input_test.written, "%zu bytes, expected %zu",
	      queued, input_test.queued_bytes - input_test.written);
	check(input_test.received ==
		      input_test.stats.forwarded_bytes + input_test.stats.discarded_bytes + queued,
	      "%" PRIu64 " received, %" PRIu64 " forwarded, %" PRIu64 " discarded",
	      input_test.received, input_test.stats.forwarded_bytes,
	      input_test.stats.discarded_bytes);
}

/* Another process goes on. The sockets of clients report to it what they have. */
static void input_test_pass(void)
{
	struct state *state = state_begin_saving();
	struct input_stats former = { 0 };

	stream_input_transfer(&input_test.input, state);
	for (size_t i = 0; i < CLIENTS; i++)
		stream_input_forget(&input_test.input, &input_test.client[i].turn);
	input_test.input.stats = &former;
	stream_input_free(&input_test.input);
	input_test_init();
	state = state_pass(state);
	stream_input_transfer(&input_test.input, state);
	state_end_pass(state);
	for (size_t i = 0; i < CLIENTS; i++)
		input_test_send(&input_test.client[i], 0);
}

static void input_test_step(void)
{
	struct dice *dice = &input_test.dice;
	struct input_test_client *client = &input_test.client[dice_roll(dice, 0, CLIENTS - 1)];

	switch (dice_roll(dice, 0, 7)) {
	case 0:
	case 1:
		if (client->unread < 100000)
			input_test_send(client,
					dice_roll(dice, 1, dice_one_in(dice, 4) ? 20000 : 12));
		break;
	case 2:
	case 3:
		input_test.room = dice_roll(dice, 1, dice_one_in(dice, 3) ? 100000 : 300);
		stream_input_writable(&input_test.input);
		break;
	case 4:
		if (dice_one_in(dice, 20))
			input_test_end_run();
		break;
	case 5:
		if (dice_one_in(dice, 40))
			input_test.broken = true;
		break;
	case 6:
		/* It leaves, and another one comes. */
		if (dice_one_in(dice, 20)) {
			stream_input_forget(&input_test.input, &client->turn);
			client->unread = 0;
		} else if (dice_one_in(dice, 20)) {
			input_test_pass();
		}
		break;
	default:
		input_test_loop();
	}
	input_test_check();
}

static void test_input_random(unsigned int steps)
{
	input_test_begin(12345);
	for (unsigned int i = 0; i < steps; i++)
		input_test_step();
	check(input_test.stats.forwarded_bytes > 10 * steps, "%" PRIu64 " bytes",
	      input_test.stats.forwarded_bytes);
	check(input_test.stats.discarded_bytes > steps, "%" PRIu64 " discarded",
	      input_test.stats.discarded_bytes);
	/* In the end everything that is a whole unit arrives. */
	input_test_end_run();
	for (int i = 0; i < 20000; i++) {
		input_test.room = STREAM_INPUT_BYTES;
		stream_input_writable(&input_test.input);
		input_test_loop();
	}
	input_test_check();
	check(!stream_input_queued(&input_test.input), "%zu bytes are left",
	      stream_input_queued(&input_test.input));
	for (size_t i = 0; i < CLIENTS; i++)
		check(!input_test.client[i].unread ||
			      input_test.client[i].unread < input_test.client[i].unit,
		      "client %zu has %zu bytes, in units of %zu", i, input_test.client[i].unread,
		      input_test.client[i].unit);
	input_test_end();
	point("%u random steps: pieces are whole, in order, counted, and at most %zu bytes wait",
	      steps, STREAM_INPUT_BYTES);
}

static void test_input_absent(void)
{
	input_test_begin(1);
	input_test_send(&input_test.client[1], 5);
	input_test_send(&input_test.client[2], 3);
	input_test_send(&input_test.client[1], 3);
	input_test_loop();
	check(!input_test.received, "%" PRIu64 " bytes were read", input_test.received);
	input_test.room = 100;
	stream_input_writable(&input_test.input);
	input_test_loop();
	input_test_loop();
	check(input_test.stats.forwarded_bytes == 8, "%" PRIu64 " bytes",
	      input_test.stats.forwarded_bytes);
	check(input_test.client[1].unread == 3 && !input_test.client[1].turn.waits,
	      "%zu bytes of a unit", input_test.client[1].unread);
	input_test_check();
	point("without a run no client is read; then each is, except for a part of a unit");

	input_test_end_run();
	input_test_send(&input_test.client[1], 2);
	check(input_test.received == 8, "read between two runs");
	stream_input_forget(&input_test.input, &input_test.client[1].turn);
	stream_input_forget(&input_test.input, &input_test.client[1].turn);
	stream_input_writable(&input_test.input);
	input_test_loop();
	check(input_test.received == 8, "read after it left");
	input_test_end();
	point("a client that leaves is not read");
}

static void test_input_end_run(void)
{
	input_test_begin(2);
	input_test.room = 3;
	stream_input_writable(&input_test.input);
	input_test_send(&input_test.client[1], 15);
	input_test_loop();
	check(input_test.stats.forwarded_bytes == 3, "%" PRIu64, input_test.stats.forwarded_bytes);
	input_test_end_run();
	check(input_test.stats.discarded_bytes == 12, "%" PRIu64, input_test.stats.discarded_bytes);
	input_test.room = 100;
	stream_input_writable(&input_test.input);
	input_test_send(&input_test.client[1], 5);
	input_test_loop();
	check(input_test.stats.forwarded_bytes == 8, "%" PRIu64, input_test.stats.forwarded_bytes);
	input_test_check();
	point("a run gets nothing of the queue of the former one");

	input_test.broken = true;
	input_test.writes = 0;
	input_test_send(&input_test.client[1], 10);
	input_test_loop();
	input_test_send(&input_test.client[0], 4321);
	stream_input_writable(&input_test.input);
	for (int i = 0; i < 5; i++)
		input_test_loop();
	check(input_test.writes == 1, "%u writes", input_test.writes);
	check(input_test.stats.discarded_bytes == 12 + 10 + 4321, "%" PRIu64,
	      input_test.stats.discarded_bytes);
	input_test_end();
	point("after a write that failed, clients are read and what they send is discarded");
}

/* One client floods; others send a unit now and then. */
static void test_input_fair(void)
{
	unsigned int most = 0;

	input_test_begin(3);
	stream_input_writable(&input_test.input);
	input_test_send(&input_test.client[0], SIZE_MAX / 2);
	for (int i = 0; i < 300; i++) {
		struct input_test_client *client = &input_test.client[1 + i % (CLIENTS - 1)];
		unsigned int reads = client->reads, before = input_test.client[0].reads;

		input_test_send(client, client->unit + !client->unit);
		for (int j = 0; j < 1000 && client->reads == reads; j++) {
			input_test.room = 1000;
			stream_input_writable(&input_test.input);
			input_test_loop();
			check(input_test.stats.forwarded_bytes <= input_test.received, "too much");
		}
		check(client->reads > reads, "client %d is not read", i);
		if (client->first_reads - before > most)
			most = client->first_reads - before;
	}
	check(most <= 1, "%u pieces of the flood before one of another client", most);
	input_test_check();
	input_test_end();
	point("a client that floods is read at most once before another one");
}

/* They have waited for the begin of a run. */
static void test_input_order(void)
{
	input_test_begin(5);
	for (size_t i = 1; i <= 3; i++) {
		input_test.client[i].unit = 0;
		input_test_send(&input_test.client[i], 1);
	}
	stream_input_writable(&input_test.input);
	for (int i = 0; i < 1000 && input_test.queued_bytes < 3; i++)
		input_test_loop();
	for (size_t i = 1; i <= 3; i++)
		check(input_test.queued_bytes == 3 && input_test.queued[i - 1] >> 4 == i,
		      "client %zu is not number %zu", i, i);
	input_test_check();
	input_test_end();
	point("clients that wait are read in the order in which they came");
}

static void test_input_wrong_state(void)
{
	const char *text = "{\"input\":{\"state\":0,\"full\":false,\"queue\":\"hex:00\"}}";
	char wrong[STATE_WRONG_TEXT];
	struct state *state = statejson_decode_text(text, NULL, 0, wrong);

	input_test_begin(4);
	check(state, "%s", wrong);
	stream_input_transfer(&input_test.input, state);
	check(state_failed(state) && !stream_input_queued(&input_test.input), "it was accepted");
	state_free(state);
	input_test_end();
	point("without a run, no restored bytes wait");
}

int main(int argc, char **argv)
{
	test_input_absent();
	test_input_end_run();
	test_input_fair();
	test_input_order();
	test_input_wrong_state();
	test_input_random(argc > 1 ? (unsigned int)atoi(argv[1]) : STEPS);
	free(input_test.queued);
	return tap_end();
}
