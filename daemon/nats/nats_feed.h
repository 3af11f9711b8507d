/* SPDX-License-Identifier: BSD-2-Clause */
/* From the frames of a stream to messages: blocks, cut where they are too long for a message, and events. */
#ifndef DMACAST_NATS_FEED_H
#define DMACAST_NATS_FEED_H

#include "ctl/cat_sink.h"
#include "nats/nats_stream.h"

#include <stdbool.h>
#include <stddef.h>

struct nats_feed;
struct nats_outbox;

/**
 * nats_feed_create() - return a feed; NULL without memory.
 * @subject: of blocks
 * @limit: largest payload of a message, in bytes
 * @last: the last message that is stored
 */
struct nats_feed *nats_feed_create(struct nats_outbox *outbox, const char *subject, size_t limit,
				   const struct nats_last *last);

/** nats_feed_sink() - return the sink for a struct cat_receiver. */
struct cat_sink nats_feed_sink(struct nats_feed *feed);

/** nats_feed_end() - note that the stream has ended in order. Return: false without memory. */
bool nats_feed_end(struct nats_feed *feed);

/** nats_feed_free() - free; NULL is allowed. */
void nats_feed_free(struct nats_feed *feed);

#endif
