/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The headers of a message: what a frame says, as texts. The payload is that of the frame, or a piece of it.
 * dmacast-nats(1) describes each header.
 */
#ifndef DMACAST_NATS_MESSAGE_H
#define DMACAST_NATS_MESSAGE_H

#include "lib/client_start.h"
#include "lib/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NATS_HEADERS 20
#define NATS_HEADER_BYTES 160

/* Space that a server needs for the headers, besides the payload. */
#define NATS_HEADERS_BYTES 4096U

#define NATS_HEADER_ID "Nats-Msg-Id"

struct nats_message {
	struct frame
		frame;	 /* of the block or preamble; of an event, that of the frame that follows */
	uint32_t offset; /* of the payload, in the block */
	uint32_t count;	 /* epoch with which sequence and position began to count */
	uint32_t block_size; /* of the stream; 0: unknown */
	struct {
		bool exists;
		struct block_name name;
		uint64_t end; /* position behind it */
	} after;	      /* the block before this one */
	uint64_t gap_blocks;  /* lost between the daemon and this block; 0: none, or unknown */
	uint64_t gap_bytes;
	char event[16];	   /* kind of an event, such as "gap"; empty: a block */
	uint64_t event_id; /* random */
};

struct nats_header {
	const char *name;
	char value[NATS_HEADER_BYTES];
};

/** nats_message_encode() - write the headers. @stream: name, for the id. Return: the number of headers. */
size_t nats_message_encode(const struct nats_message *message, const char *stream,
			   struct nats_header headers[NATS_HEADERS]);

/* Return the value of a header; NULL if it is missing. */
typedef const char *nats_header_get(void *data, const char *name);

/**
 * nats_message_decode() - read the headers.
 * @length: bytes of payload
 * @fault: out: on failure, the name of the header that is missing or malformed
 */
bool nats_message_decode(struct nats_message *message, nats_header_get *get, void *data,
			 size_t length, const char **fault);

/** nats_message_is_event() - return true if the message is no piece of a block. */
bool nats_message_is_event(const struct nats_message *message);

/**
 * nats_message_last_block() - write the frame of the last block up to the message. A block of which a piece is missing
 * does not count. Of a block before the message, only epoch, sequence and the position of its end are known: its
 * length is 0.
 * @length: bytes of payload
 *
 * Return: false if there is no such block.
 */
bool nats_message_last_block(const struct nats_message *message, size_t length,
			     struct frame *frame);

/** nats_message_covers() - return true if the block @message is stored when @last is the last one. */
bool nats_message_covers(const struct nats_message *last, size_t last_length,
			 const struct nats_message *message, size_t length);

#endif
