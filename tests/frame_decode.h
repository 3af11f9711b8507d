/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a frame's header by dmacast-frame(5), without the code that writes it. */
#ifndef DMACAST_TEST_FRAME_DECODE_H
#define DMACAST_TEST_FRAME_DECODE_H

#include "lib/frame.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

/* Return the little-endian number of @length bytes, at most 8. */
static inline uint64_t frame_number(const unsigned char *bytes, size_t length)
{
	uint64_t number = 0;

	memcpy(&number, bytes, length);
	return le64toh(number);
}

/* Return the fields of a header, which has 64 bytes. Magic, version and what is reserved are the caller's. */
static inline struct frame frame_decode(const unsigned char *bytes)
{
	return (struct frame){
		.flags = (uint16_t)frame_number(bytes + 6, 2),
		.length = (uint32_t)frame_number(bytes + 8, 4),
		.epoch = (uint32_t)frame_number(bytes + 12, 4),
		.sequence = frame_number(bytes + 16, 8),
		.position = frame_number(bytes + 24, 8),
		.realtime_ns = frame_number(bytes + 32, 8),
		.monotonic_ns = frame_number(bytes + 40, 8),
		.lost_bytes = frame_number(bytes + 48, 8),
		.lost_blocks = (uint32_t)frame_number(bytes + 56, 4),
	};
}

#endif
