/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client gets that is no block: an answer of HTTP; a frame with metadata, the preamble or the end of the
 * stream; or the preamble of a raw client, without a header. It is sent between two blocks, by copying, so no
 * completion refers to it; what the socket does not accept stays for the next call.
 */
#ifndef DMACAST_CLIENT_ASIDE_H
#define DMACAST_CLIENT_ASIDE_H

#include "lib/frame.h"
#include "lib/shared_bytes.h"
#include "send/zerocopy.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct state;

struct client_aside {
	struct shared_bytes *answer; /* before the header; NULL: none */
	unsigned char header[FRAME_HEADER_BYTES];
	uint32_t header_length;	      /* 0: none */
	struct shared_bytes *payload; /* NULL: none */
	uint32_t left;		      /* bytes to send, of all three; 0: there is nothing */
};

/**
 * client_aside_set() - prepare a frame; none may be left.
 * @frame: its length and its times are set here
 * @payload: kept until it is sent; NULL: none
 */
void client_aside_set(struct client_aside *aside, struct frame frame, struct shared_bytes *payload);

/** client_aside_set_raw() - prepare @payload without a header; nothing may be left. It is kept until it is sent. */
void client_aside_set_raw(struct client_aside *aside, struct shared_bytes *payload);

/**
 * client_aside_put_answer() - send @answer before what is prepared, of which nothing was sent; there may be nothing.
 * It is kept until it is sent.
 */
void client_aside_put_answer(struct client_aside *aside, struct shared_bytes *answer);

/** client_aside_send() - send what is left; there must be something. Return: as zerocopy_send(). */
ssize_t client_aside_send(struct client_aside *aside, struct zerocopy *zerocopy);

/** client_aside_is_left() - return true while there is something to send. */
static inline bool client_aside_is_left(const struct client_aside *aside)
{
	return aside->left;
}

/** client_aside_transfer() - save or restore what is left. @aside: restoring: nothing is left */
void client_aside_transfer(struct client_aside *aside, struct state *state);

/** client_aside_clear() - forget what is left. */
void client_aside_clear(struct client_aside *aside);

#endif
