// SPDX-License-Identifier: BSD-2-Clause
#include "stream/client_aside.h"

#include "lib/clock.h"

#include <assert.h>
#include <stddef.h>
#include <sys/uio.h>

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

ssize_t client_aside_send(struct client_aside *aside, struct zerocopy *zerocopy)
{
	uint32_t length = aside->payload ? aside->payload->length : 0;
	uint32_t header = aside->header_length, done = header + length - aside->left;
	struct iovec piece[2];
	size_t pieces = 0;
	ssize_t n;

	if (done < header) {
		piece[pieces++] = (struct iovec){ aside->header + done, header - done };
		done = header;
	}
	done -= header;
	if (done < length)
		piece[pieces++] = (struct iovec){ aside->payload->bytes + done, length - done };
	n = zerocopy_send_copy(zerocopy, piece, pieces);
	if (n > 0)
		aside->left -= (uint32_t)n;
	if (!aside->left)
		client_aside_clear(aside);
	return n;
}

void client_aside_clear(struct client_aside *aside)
{
	shared_bytes_release(aside->payload);
	aside->payload = NULL;
	aside->left = 0;
}
