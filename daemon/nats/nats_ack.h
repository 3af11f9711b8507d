/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Acknowledgements of JetStream. They arrive on a thread of the library and wait here for the thread of the program.
 * The subject of a reply names the message and the attempt to publish it, so that what is late is left out.
 */
#ifndef DMACAST_NATS_ACK_H
#define DMACAST_NATS_ACK_H

#include "nats/nats_server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NATS_ACK_TEXT 160
#define NATS_REPLY_BYTES 160

struct nats_ack {
	uint64_t attempt, serial; /* as in nats_acks_reply() */
	bool stored;
	bool duplicate;	   /* it was stored before */
	uint64_t sequence; /* of JetStream, if it is stored */
	int code;	   /* of an error */
	char text[NATS_ACK_TEXT];
};

struct nats_acks;

/** nats_acks_create() - subscribe to replies. Return: NULL on failure, with the reason in @error. */
struct nats_acks *nats_acks_create(struct nats_server *server, char error[NATS_SERVER_ERROR]);

/** nats_acks_reply() - write the subject for the reply to one message. Return: @reply. */
const char *nats_acks_reply(const struct nats_acks *acks, uint64_t attempt, uint64_t serial,
			    char reply[NATS_REPLY_BYTES]);

/** nats_acks_take() - take the oldest acknowledgement that waits. Return: false if there is none. */
bool nats_acks_take(struct nats_acks *acks, struct nats_ack *ack);

/** nats_ack_parse() - read the payload of a reply. */
void nats_ack_parse(struct nats_ack *ack, const char *payload, size_t length);

/** nats_acks_stop() - end the subscription; a last callback may still run. NULL is allowed. */
void nats_acks_stop(struct nats_acks *acks);

/** nats_acks_free() - free after nats_acks_stop() and nats_server_close(); NULL is allowed. */
void nats_acks_free(struct nats_acks *acks);

#endif
