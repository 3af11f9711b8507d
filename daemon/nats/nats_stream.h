/* SPDX-License-Identifier: BSD-2-Clause */
/* The JetStream stream: create or check it, and read what it has last. Each call waits for the server, 3 s at most. */
#ifndef DMACAST_NATS_STREAM_H
#define DMACAST_NATS_STREAM_H

#include "nats/nats_message.h"
#include "nats/nats_options.h"
#include "nats/nats_server.h"

#include <nats/nats.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nats_stream {
	struct nats_server *server;
	const struct nats_stream_options *options;
	const char *name, *subject;
};

/* The last message that is stored. */
struct nats_last {
	uint64_t sequence; /* of JetStream; 0: there was no message yet */
	bool known;	   /* the message is there and is ours */
	char id[NATS_HEADER_BYTES];
	struct nats_message message;
	size_t length; /* of its payload, in bytes */
};

/**
 * nats_stream_prepare() - create the stream, or compare one that exists with the options.
 * @error: out: on failure, the reason
 */
enum nats_server_result nats_stream_prepare(const struct nats_stream *stream,
					    char error[NATS_SERVER_ERROR]);

/** nats_stream_last() - read the last message. Return: false on failure, with the reason in @error. */
bool nats_stream_last(const struct nats_stream *stream, struct nats_last *last,
		      char error[NATS_SERVER_ERROR]);

/** nats_stream_print() - print what the stream has and how it is limited. Return: false on failure. */
bool nats_stream_print(const struct nats_stream *stream, char error[NATS_SERVER_ERROR]);

/** nats_stream_get_header() - a nats_header_get for messages of the library. @data: natsMsg */
const char *nats_stream_get_header(void *data, const char *name);

#endif
