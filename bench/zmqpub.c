// SPDX-License-Identifier: BSD-2-Clause
/*
 * zmqpub - a server of ZeroMQ, to compare with: publishes blocks of stdin on an XPUB socket.
 *
 * A message is a block of --block-size, which is read into the message's own memory and sent from there. A
 * subscriber has a queue of --queue. If it is full, the server waits, or with --drop the subscriber loses
 * messages. --await N: begin when there are N subscriptions.
 */
#include <err.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "lib/units.h"

#include "../tests/command_line.h"
#include "block_input.h"

/* Blocks of freed messages stay in the heap up to this size in bytes, or each would be mapped anew. */
#define KEPT_HEAP (1 << 30)

static struct options {
	uint64_t block_size, queue, await;
	const char *listen;
	bool drop, help;
} opt = {
	.block_size = 256 << 10,
	.queue = 16 << 20,
};

static const struct setting setting_table[] = {
	{ "listen", TEXT, &opt.listen, "HOST:PORT of the subscribers" },
	{ "block-size", SIZE, &opt.block_size, "size of a message (256K)" },
	{ "queue", SIZE, &opt.queue, "queue of a subscriber (16M)" },
	{ "await", COUNT, &opt.await, "begin when there is this number of subscriptions" },
	{ "drop", FLAG, &opt.drop, "a full queue loses messages instead of stopping the server" },
	{ "help", FLAG, &opt.help, "print this" },
};

static const struct settings settings = {
	.item = setting_table,
	.count = sizeof(setting_table) / sizeof(setting_table[0]),
};

static void zmqpub_set(void *publisher, int option, int value)
{
	if (zmq_setsockopt(publisher, option, &value, sizeof(value)))
		errx(1, "option %d: %s", option, zmq_strerror(zmq_errno()));
}

static void *zmqpub_listen(void *context)
{
	void *publisher = zmq_socket(context, ZMQ_XPUB);
	char endpoint[128];

	if (!publisher)
		errx(1, "socket: %s", zmq_strerror(zmq_errno()));
	zmqpub_set(publisher, ZMQ_SNDHWM, (int)(opt.queue / opt.block_size));
	zmqpub_set(publisher, ZMQ_XPUB_NODROP, !opt.drop);
	zmqpub_set(publisher, ZMQ_XPUB_VERBOSE, 1); /* one notice for each subscription */
	zmqpub_set(publisher, ZMQ_BACKLOG, 4096);
	snprintf(endpoint, sizeof(endpoint), "tcp://%s", opt.listen);
	if (zmq_bind(publisher, endpoint))
		errx(1, "%s: %s", endpoint, zmq_strerror(zmq_errno()));
	return publisher;
}

static void zmqpub_await(void *publisher)
{
	char notice[16];

	for (uint64_t count = 0; count < opt.await;) {
		int n = zmq_recv(publisher, notice, sizeof(notice), 0);

		if (n < 0)
			errx(1, "receive a subscription: %s", zmq_strerror(zmq_errno()));
		count += n > 0 && notice[0] == 1;
	}
}

static void zmqpub_publish(void *publisher)
{
	zmq_msg_t message;

	for (;;) {
		if (zmq_msg_init_size(&message, opt.block_size))
			errx(1, "%" PRIu64 " bytes of memory", opt.block_size);
		if (!block_input_read(zmq_msg_data(&message), opt.block_size))
			break;
		if (zmq_msg_send(&message, publisher, 0) < 0)
			errx(1, "send: %s", zmq_strerror(zmq_errno()));
	}
	zmq_msg_close(&message);
}

int main(int argc, char **argv)
{
	void *context, *publisher;

	settings_parse(&settings, argc, argv);
	if (opt.help) {
		puts("Usage: zmqpub --listen HOST:PORT [options]\n");
		settings_print(&settings);
		return 0;
	}
	if (optind < argc || !opt.listen || !opt.block_size || opt.queue < opt.block_size)
		errx(2, "expected --listen HOST:PORT, and a --queue of one block or more");
	mallopt(M_MMAP_THRESHOLD, KEPT_HEAP);
	mallopt(M_TRIM_THRESHOLD, KEPT_HEAP);
	context = zmq_ctx_new();
	publisher = zmqpub_listen(context);
	zmqpub_await(publisher);
	zmqpub_publish(publisher);
	zmq_close(publisher);
	zmq_ctx_term(context);
	return 0;
}
