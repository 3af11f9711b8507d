// SPDX-License-Identifier: BSD-2-Clause
#include "lib/frame.h"

#include <bsd/stdlib.h>
#include <endian.h>
#include <string.h>

#define FRAME_VERSION 1

static const unsigned char frame_start[] = { 'D', 'M', 'C', 'F', FRAME_VERSION };

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

/* The magic and the version are the caller's. */
static struct frame frame_of_wire(const struct wire_header *wire)
{
	return (struct frame){
		.flags = le16toh(wire->flags),
		.length = le32toh(wire->length),
		.epoch = le32toh(wire->epoch),
		.sequence = le64toh(wire->sequence),
		.position = le64toh(wire->position),
		.realtime_ns = le64toh(wire->realtime_ns),
		.monotonic_ns = le64toh(wire->monotonic_ns),
		.lost_bytes = le64toh(wire->lost_bytes),
		.lost_blocks = le32toh(wire->lost_blocks),
	};
}

enum frame_fault frame_parse(const unsigned char header[FRAME_HEADER_BYTES], struct frame *frame,
			     unsigned int *header_bytes)
{
	struct wire_header wire;

	memcpy(&wire, header, sizeof(wire));
	*frame = frame_of_wire(&wire);
	*header_bytes = wire.header_bytes;
	if (memcmp(wire.magic, frame_start, sizeof(wire.magic)))
		return FRAME_BAD_MAGIC;
	if (wire.version != FRAME_VERSION)
		return FRAME_BAD_VERSION;
	return wire.header_bytes < FRAME_HEADER_BYTES ? FRAME_BAD_HEADER_LENGTH : FRAME_IS_VALID;
}

bool frame_begins(const unsigned char *bytes, size_t length)
{
	return !memcmp(bytes, frame_start,
		       length < sizeof(frame_start) ? length : sizeof(frame_start));
}

uint32_t frame_new_epoch(uint32_t former)
{
	uint32_t epoch;

	do {
		epoch = arc4random();
	} while (!epoch || epoch == former);
	return epoch;
}
