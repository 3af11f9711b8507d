// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_join.h"

size_t nats_join_piece(size_t length, size_t offset, size_t limit)
{
	size_t left = length - offset;

	return left < limit ? left : limit;
}

bool nats_join_is_whole(const struct nats_join *join)
{
	return !join->epoch;
}

static bool nats_join_continues(const struct nats_join *join, const struct nats_message *message)
{
	return join->epoch == message->frame.epoch && join->sequence == message->frame.sequence &&
	       join->offset == message->offset;
}

enum nats_join_result nats_join_take(struct nats_join *join, const struct nats_message *message,
				     size_t length, bool *dropped)
{
	bool more = !nats_join_is_whole(join) && nats_join_continues(join, message);

	*dropped = !nats_join_is_whole(join) && !more;
	if (!more && message->offset) {
		join->epoch = 0;
		return NATS_JOIN_SKIP;
	}
	join->sequence = message->frame.sequence;
	join->offset = message->offset + (uint32_t)length;
	join->epoch = join->offset < message->frame.length ? message->frame.epoch : 0;
	return more ? NATS_JOIN_MORE : NATS_JOIN_BEGIN;
}
