/* SPDX-License-Identifier: BSD-2-Clause */
/* Where in a JetStream stream a subscriber begins, as text. */
#ifndef DMACAST_NATS_START_H
#define DMACAST_NATS_START_H

#include <stdbool.h>
#include <stdint.h>

enum nats_start_kind {
	NATS_START_OLDEST,
	NATS_START_NEWEST, /* with the next message */
	NATS_START_SEQUENCE,
	NATS_START_TIME,
	NATS_START_DURABLE, /* after the last message that the durable consumer has acknowledged */
};

struct nats_start {
	enum nats_start_kind kind;
	uint64_t sequence;    /* of JetStream, from 1 */
	uint64_t realtime_ns; /* time at which the server stored the message */
	const char *durable;  /* name of the consumer, in the text */
};

/**
 * nats_start_parse() - parse "oldest", "newest", a number, "2026-11-30T12:00:00Z", "-10m" or "durable:NAME".
 * @text: must outlive @start
 * @now_ns: CLOCK_REALTIME, for times before now
 * @expected: out: on failure, what would be right
 */
bool nats_start_parse(const char *text, uint64_t now_ns, struct nats_start *start,
		      const char **expected);

#endif
