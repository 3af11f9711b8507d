/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages of a JetStream stream in their order, each one once, also over servers that are restarted: a consumer
 * that is made again behind the last message whenever anything is missing.
 *
 * A durable consumer stays at the server, which redelivers what was not acknowledged, but only after later messages.
 * What an earlier run, or a lost connection, has left is therefore read by its sequence.
 */
#ifndef DMACAST_NATS_CONSUMER_H
#define DMACAST_NATS_CONSUMER_H

#include "nats/nats_server.h"
#include "nats/nats_start.h"

#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>

struct cat_report;
struct nats_consumer;

struct nats_delivery {
	natsMsg *message;  /* NULL: there is none now */
	uint64_t sequence; /* of JetStream */
	bool durable;	   /* can be acknowledged */
};

/** nats_consumer_create() - return a consumer that is not open yet; NULL without memory. All must outlive it. */
struct nats_consumer *nats_consumer_create(struct nats_server *server, const char *stream,
					   const struct nats_start *start,
					   struct cat_report *report);

/** nats_consumer_next() - wait for the next message, for @timeout_ms at most, or while the server is asked. */
struct nats_delivery nats_consumer_next(struct nats_consumer *consumer, int64_t timeout_ms);

/** nats_consumer_free_delivery() - free the message. @acknowledge: it, and all before it, need not come again */
void nats_consumer_free_delivery(struct nats_delivery *delivery, bool acknowledge);

/** nats_consumer_error() - return why there are no messages any more; NULL: there may be. */
const char *nats_consumer_error(const struct nats_consumer *consumer);

/** nats_consumer_reopened() - return how often the consumer was made again. */
uint64_t nats_consumer_reopened(const struct nats_consumer *consumer);

/** nats_consumer_stop() - end the subscription; NULL is allowed. nats_server_disconnect() and nats_consumer_free() follow. */
void nats_consumer_stop(struct nats_consumer *consumer);

/** nats_consumer_free() - free; NULL is allowed. */
void nats_consumer_free(struct nats_consumer *consumer);

#endif
