// SPDX-License-Identifier: BSD-2-Clause
/* The header of a frame, against its bytes. */
#include "lib/frame.h"

#include "tap.h"

#include <string.h>

static const struct example {
	const char *title;
	struct frame frame;
	unsigned char header[FRAME_HEADER_BYTES];
} examples[] = {
	{ "every field is in its place, little-endian",
	  { .flags = FRAME_LOSS | FRAME_SHORT | FRAME_START,
	    .length = 0x11121314,
	    .epoch = 0x21222324,
	    .sequence = 0x3132333435363738,
	    .position = 0x4142434445464748,
	    .realtime_ns = 0x5152535455565758,
	    .monotonic_ns = 0x6162636465666768,
	    .lost_bytes = 0x7172737475767778,
	    .lost_blocks = 0x81828384 },
	  { 'D',  'M',	'C',  'F',  1,	  64,	0x13, 0x00, 0x14, 0x13, 0x12, 0x11, 0x24,
	    0x23, 0x22, 0x21, 0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, 0x48, 0x47,
	    0x46, 0x45, 0x44, 0x43, 0x42, 0x41, 0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52,
	    0x51, 0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61, 0x78, 0x77, 0x76, 0x75,
	    0x74, 0x73, 0x72, 0x71, 0x84, 0x83, 0x82, 0x81, 0,	  0,	0,    0 } },
	{ "the end has no payload",
	  { .flags = FRAME_END, .epoch = 1, .sequence = 2, .position = 3 },
	  { 'D', 'M', 'C', 'F', 1, 64, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3 } },
	{ "metadata",
	  { .flags = FRAME_METADATA, .length = 0xfffefdfc, .epoch = 0xfbfaf9f8 },
	  { 'D', 'M', 'C', 'F', 1, 64, 8, 0, 0xfc, 0xfd, 0xfe, 0xff, 0xf8, 0xf9, 0xfa, 0xfb } },
};

static void test_encode(void)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct example *example = &examples[i];
		unsigned char header[FRAME_HEADER_BYTES];

		memset(header, 0xaa, sizeof(header));
		frame_encode(&example->frame, header);
		for (size_t at = 0; at < sizeof(header); at++)
			check(header[at] == example->header[at], "byte %zu is %02x, expected %02x",
			      at, header[at], example->header[at]);
		point("%s", example->title);
	}
}

static void test_header_fields(void)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct frame *expected = &examples[i].frame;
		unsigned int header_bytes;
		struct frame frame;

		check(frame_parse(examples[i].header, &frame, &header_bytes) == FRAME_IS_VALID,
		      "example %zu", i);
		check(header_bytes == FRAME_HEADER_BYTES, "%u bytes", header_bytes);
		check(frame.flags == expected->flags && frame.length == expected->length &&
			      frame.epoch == expected->epoch &&
			      frame.sequence == expected->sequence &&
			      frame.position == expected->position &&
			      frame.realtime_ns == expected->realtime_ns &&
			      frame.monotonic_ns == expected->monotonic_ns &&
			      frame.lost_bytes == expected->lost_bytes &&
			      frame.lost_blocks == expected->lost_blocks,
		      "another field in example %zu", i);
	}
	point("the fields of a header");
}

static void test_faults(void)
{
	static const struct {
		size_t offset;
		unsigned char byte;
		enum frame_fault fault;
	} faults[] = {
		{ 0, 'd', FRAME_BAD_MAGIC },	    { 3, 0, FRAME_BAD_MAGIC },
		{ 4, 0, FRAME_BAD_VERSION },	    { 4, 2, FRAME_BAD_VERSION },
		{ 5, 63, FRAME_BAD_HEADER_LENGTH }, { 5, 0, FRAME_BAD_HEADER_LENGTH },
		{ 5, 65, FRAME_IS_VALID },	    { 5, 255, FRAME_IS_VALID },
	};
	unsigned char header[FRAME_HEADER_BYTES];
	unsigned int header_bytes;
	struct frame frame;

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		memcpy(header, examples[0].header, sizeof(header));
		header[faults[i].offset] = faults[i].byte;
		check(frame_parse(header, &frame, &header_bytes) == faults[i].fault, "fault %zu",
		      i);
		check(header_bytes == header[5], "%u bytes", header_bytes);
		check(frame_begins(header, sizeof(header)) == (faults[i].offset > 4), "begin %zu",
		      i);
		check(frame_begins(header, faults[i].offset), "begin %zu, before the fault", i);
	}
	point("magic, version and length of a header");
}

static void test_epoch(void)
{
	uint32_t former = 0;

	for (int i = 0; i < 1000; i++) {
		uint32_t epoch = frame_new_epoch(former);

		check(epoch && epoch != former, "%u after %u", epoch, former);
		former = epoch;
	}
	point("an epoch is neither 0 nor the one before");
}

int main(void)
{
	test_encode();
	test_header_fields();
	test_faults();
	test_epoch();
	return tap_end();
}
