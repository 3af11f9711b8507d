// SPDX-License-Identifier: BSD-2-Clause
#include "stream/client_aside.h"

#include "lib/clock.h"
#include "lib/state.h"

#include <assert.h>
#include <stddef.h>
#include <sys/uio.h>

/* Upper bound of an answer or a payload that is restored, in bytes. */
#define MAX_PART ((size_t)16 << 20)

void client_aside_set(struct client_aside *aside, struct frame frame, struct shared_bytes *payload)
{
	assert(!aside->left);
	frame.length = payload ? payload->length : 0;
	frame.realtime_ns = clock_ns(CLOCK_REALTIME);
	frame.monotonic_ns = clock_monotonic_ns();
	frame_encode(&frame, aside->header);
	aside->header_length = FRAME_HEADER_BYTES;
	aside->payload = shared_bytes_keep(payload);
	aside->left = FRAME_HEADER_BYTES + frame.length;
}

void client_aside_set_raw(struct client_aside *aside, struct shared_bytes *payload)
{
	assert(!aside->left);
	aside->header_length = 0;
	aside->payload = shared_bytes_keep(payload);
	aside->left = payload->length;
}

void client_aside_put_answer(struct client_aside *aside, struct shared_bytes *answer)
{
	assert(!aside->answer);
	if (!aside->left)
		aside->header_length = 0;
	aside->answer = shared_bytes_keep(answer);
	aside->left += answer->length;
}

static struct iovec aside_shared_piece(struct shared_bytes *bytes)
{
	return bytes ? (struct iovec){ bytes->bytes, bytes->length } : (struct iovec){ 0 };
}

/* Remove the first @done bytes. Return: the number of pieces that are left, from the first one on. */
static size_t aside_skip(struct iovec *piece, size_t pieces, size_t done)
{
	size_t kept = 0;

	for (size_t i = 0; i < pieces; i++) {
		size_t skipped = done < piece[i].iov_len ? done : piece[i].iov_len;

		done -= skipped;
		if (skipped < piece[i].iov_len)
			piece[kept++] = (struct iovec){ (char *)piece[i].iov_base + skipped,
							piece[i].iov_len - skipped };
	}
	return kept;
}

ssize_t client_aside_send(struct client_aside *aside, struct zerocopy *zerocopy)
{
	struct iovec piece[] = {
		aside_shared_piece(aside->answer),
		{ aside->header, aside->header_length },
		aside_shared_piece(aside->payload),
	};
	size_t all = piece[0].iov_len + piece[1].iov_len + piece[2].iov_len, pieces;
	ssize_t n;

	pieces = aside_skip(piece, 3, all - aside->left);
	n = zerocopy_send_copy(zerocopy, piece, pieces);
	if (n > 0)
		aside->left -= (uint32_t)n;
	if (!aside->left)
		client_aside_clear(aside);
	return n;
}

/* Return true if the number of bytes that are left is possible. */
static bool aside_is_possible(const struct client_aside *aside)
{
	uint64_t all = aside->header_length;

	all += aside->answer ? aside->answer->length : 0;
	all += aside->payload ? aside->payload->length : 0;
	return (!aside->header_length || aside->header_length == FRAME_HEADER_BYTES) &&
	       aside->left && aside->left <= all;
}

void client_aside_transfer(struct client_aside *aside, struct state *state)
{
	if (!state_optional(state, "aside", aside->left))
		return;
	state_shared_bytes(state, "answer", &aside->answer, MAX_PART);
	state_u32(state, "header_length", &aside->header_length);
	state_fixed_bytes(state, "header", aside->header, sizeof(aside->header));
	state_shared_bytes(state, "payload", &aside->payload, MAX_PART);
	state_u32(state, "left", &aside->left);
	if (!state_failed(state) && !aside_is_possible(aside))
		state_fail(state, "%u bytes cannot be left", aside->left);
	state_leave(state);
}

void client_aside_clear(struct client_aside *aside)
{
	shared_bytes_release(aside->answer);
	aside->answer = NULL;
	shared_bytes_release(aside->payload);
	aside->payload = NULL;
	aside->left = 0;
}
