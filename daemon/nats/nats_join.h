/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks that were cut into several messages, and how they are joined again. */
#ifndef DMACAST_NATS_JOIN_H
#define DMACAST_NATS_JOIN_H

#include "nats/nats_message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nats_join {
	uint32_t epoch; /* of the block that is not complete; 0: there is none */
	uint64_t sequence;
	uint32_t offset; /* of its next piece */
};

enum nats_join_result {
	NATS_JOIN_BEGIN, /* the first piece of a block */
	NATS_JOIN_MORE,	 /* the next piece of the block that was begun */
	NATS_JOIN_SKIP,	 /* a piece of a block whose begin is missing */
};

/** nats_join_piece() - return the length of the piece at @offset, if a message has at most @limit bytes. */
size_t nats_join_piece(size_t length, size_t offset, size_t limit);

/**
 * nats_join_take() - take the next piece.
 * @length: bytes of payload
 * @dropped: out: the block before is not complete, and never will be
 */
enum nats_join_result nats_join_take(struct nats_join *join, const struct nats_message *message,
				     size_t length, bool *dropped);

/** nats_join_is_whole() - return true if no block is incomplete. */
bool nats_join_is_whole(const struct nats_join *join);

#endif
