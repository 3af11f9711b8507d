// SPDX-License-Identifier: BSD-2-Clause
#include "lib/frame.h"

#include <bsd/stdlib.h>
#include <endian.h>
#include <string.h>

#define FRAME_VERSION 1

struct wire_header {
	unsigned char magic[4];
	uint8_t version;
	uint8_t header_bytes;
	uint16_t flags;
	uint32_t length;
	uint32_t epoch;
	uint64_t sequence;
	uint64_t position;
	uint64_t realtime_ns;
	uint64_t monotonic_ns;
	uint64_t lost_bytes;
	uint32_t lost_blocks;
	uint32_t reserved;
};

_Static_assert(sizeof(struct wire_header) == FRAME_HEADER_BYTES, "the header has another size");

void frame_encode(const struct frame *frame, unsigned char header[FRAME_HEADER_BYTES])
{
	const struct wire_header wire = {
		.magic = { 'D', 'M', 'C', 'F' },
		.version = FRAME_VERSION,
		.header_bytes = FRAME_HEADER_BYTES,
		.flags = htole16(frame->flags),
		.length = htole32(frame->length),
		.epoch = htole32(frame->epoch),
		.sequence = htole64(frame->sequence),
		.position = htole64(frame->position),
		.realtime_ns = htole64(frame->realtime_ns),
		.monotonic_ns = htole64(frame->monotonic_ns),
		.lost_bytes = htole64(frame->lost_bytes),
		.lost_blocks = htole32(frame->lost_blocks),
	};

	memcpy(header, &wire, sizeof(wire));
}

uint32_t frame_epoch(const unsigned char header[FRAME_HEADER_BYTES])
{
	struct wire_header wire;

	memcpy(&wire, header, sizeof(wire));
	return le32toh(wire.epoch);
}

uint32_t frame_new_epoch(uint32_t former)
{
	uint32_t epoch;

	do {
		epoch = arc4random();
	} while (!epoch || epoch == former);
	return epoch;
}
