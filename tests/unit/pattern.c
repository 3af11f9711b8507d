// SPDX-License-Identifier: BSD-2-Clause
#include "lib/pattern.h"

#include "lib/clock.h"
#include "tap.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

#define ALIGNMENTS 16
#define MAX_LENGTH 67
#define GUARD 0xa5

/* Offsets near which a carry reaches the next byte, and offsets with bytes in all places of the word. */
static const uint64_t bases[] = {
	0, 0xf8, 0xfff8, 0xfffffff8, 0x123456789abcdef0, INT64_MAX - 31, UINT64_MAX - 127,
};

/* Call @try at these and the next 15 offsets. */
static void at_each_offset(void (*try)(uint64_t offset))
{
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		for (unsigned int shift = 0; shift < ALIGNMENTS; shift++)
			try(bases[i] + shift);
	}
}

/* By the definition: byte i of the word at w has the bits from 8 * i on of the number w. */
static unsigned char pattern_at(uint64_t offset)
{
	uint64_t word = offset - offset % 8;

	for (uint64_t i = offset % 8; i; i--)
		word /= 256;
	return (unsigned char)(word % 256);
}

static void try_fill(uint64_t offset, size_t start, size_t length)
{
	unsigned char buffer[ALIGNMENTS + MAX_LENGTH + 1];
	size_t right = 0;

	memset(buffer, GUARD, sizeof(buffer));
	pattern_fill(buffer + start, length, offset);
	for (size_t i = 0; i < sizeof(buffer); i++) {
		bool inside = i >= start && i < start + length;

		right += buffer[i] == (inside ? pattern_at(offset + i - start) : GUARD);
	}
	check(right == sizeof(buffer), "offset %" PRIu64 ", %zu bytes at %zu: %zu are right",
	      offset, length, start, right);
	right = pattern_check(buffer + start, length, offset);
	check(right == length, "offset %" PRIu64 ", %zu bytes at %zu: %zu found right", offset,
	      length, start, right);
}

static void try_fills(uint64_t offset)
{
	for (size_t start = 0; start < ALIGNMENTS; start++) { /* in memory */
		for (size_t length = 0; length <= MAX_LENGTH; length++)
			try_fill(offset, start, length);
	}
}

static void try_flips(uint64_t offset)
{
	unsigned char buffer[MAX_LENGTH];

	for (size_t bit = 0; bit < 8 * MAX_LENGTH; bit++) {
		size_t right;

		pattern_fill(buffer, MAX_LENGTH, offset);
		buffer[bit / 8] ^= (unsigned char)(1 << bit % 8);
		right = pattern_check(buffer, MAX_LENGTH, offset);
		check(right == bit / 8, "offset %" PRIu64 ": bit %zu seen at %zu", offset, bit,
		      right);
		check(pattern_check(buffer, bit / 8, offset) == bit / 8, "bit %zu seen before it",
		      bit);
	}
}

/* A stream that lost or repeated bytes is wrong within two words. */
static void try_shifts(uint64_t offset)
{
	unsigned char buffer[64];

	for (uint64_t shift = 1; shift <= 300; shift++) {
		pattern_fill(buffer, sizeof(buffer), offset + shift);
		check(pattern_check(buffer, sizeof(buffer), offset) < 2 * PATTERN_WORD,
		      "%" PRIu64 " bytes lost at %" PRIu64, shift, offset);
		pattern_fill(buffer, sizeof(buffer), offset - shift);
		check(pattern_check(buffer, sizeof(buffer), offset) < 2 * PATTERN_WORD,
		      "%" PRIu64 " bytes repeated at %" PRIu64, shift, offset);
	}
}

static void try_locate(uint64_t right)
{
	unsigned char buffer[ALIGNMENTS + 2 * PATTERN_WORD];

	for (size_t start = 0; start < ALIGNMENTS; start++) {
		uint64_t offset = ~right;
		bool found;

		pattern_fill(buffer + start, 2 * PATTERN_WORD, right);
		found = pattern_locate(buffer + start, &offset);
		if (right % PATTERN_WORD == 0)
			check(found && offset == right, "%" PRIu64 ", expected %" PRIu64, offset,
			      right);
		else /* not where a word begins: never the true offset */
			check(!found || offset != right, "found %" PRIu64, offset);
	}
}

static void test_no_pattern(void)
{
	unsigned char buffer[2 * PATTERN_WORD];
	uint64_t offset;

	for (size_t bit = 0; bit < 8 * sizeof(buffer); bit++) {
		pattern_fill(buffer, sizeof(buffer), 0x123456789abcdef0);
		buffer[bit / 8] ^= (unsigned char)(1 << bit % 8);
		check(!pattern_locate(buffer, &offset), "bit %zu", bit);
	}
	memset(buffer, 0, sizeof(buffer));
	check(!pattern_locate(buffer, &offset), "zeroes");
	memset(buffer, 0xdb, sizeof(buffer));
	check(!pattern_locate(buffer, &offset), "poison");
	memcpy(buffer, (uint64_t[]){ htole64(3), htole64(3 + PATTERN_WORD) }, sizeof(buffer));
	check(!pattern_locate(buffer, &offset), "a word that is no start of one");
	point("find no offset in bytes that are not from the pattern");
}

/* A block of a form with a head, and the former content of its memory. */
static void try_block(enum pattern_form form, uint64_t before, const char *what)
{
	unsigned char block[256 + PATTERN_WORD];
	uint64_t offset, full_ns, from = clock_monotonic_ns();
	uint64_t body = (form == PATTERN_RESIDENT ? 0x40000 : 0x1234560) + PATTERN_HEAD;

	memset(block, GUARD, sizeof(block));
	pattern_fill(block, 256, before);
	pattern_fill_block(form, block, 256, 0x1234560, 0x40000);
	pattern_read_head(block, &offset, &full_ns);
	check(offset == 0x1234560, "%s: offset %" PRIu64, what, offset);
	check(full_ns >= from && full_ns <= clock_monotonic_ns(), "%s: time", what);
	check(pattern_check(block + PATTERN_HEAD, 256 - PATTERN_HEAD, body) == 256 - PATTERN_HEAD,
	      "%s: body", what);
	check(block[256] == GUARD, "%s: beyond", what);
}

static void test_forms(void)
{
	unsigned char block[256];

	pattern_fill_block(PATTERN_OFFSETS, block, sizeof(block), 4096, 0);
	check(pattern_check(block, sizeof(block), 4096) == sizeof(block), "offsets");
	try_block(PATTERN_STAMPED, 0, "stamped");
	try_block(PATTERN_RESIDENT, 0, "resident");
	try_block(PATTERN_RESIDENT, 0x40000, "resident, there before");
	pattern_fill_block(PATTERN_RESIDENT, block, sizeof(block), 0, 0);
	block[100] ^= 1;
	pattern_fill_block(PATTERN_RESIDENT, block, sizeof(block), 512, 0);
	check(pattern_check(block + PATTERN_HEAD, 100, PATTERN_HEAD) == 100 - PATTERN_HEAD,
	      "resident is not written again");
	point("blocks of each form");
}

int main(void)
{
	at_each_offset(try_fills);
	point("fill and check at every alignment and length");
	at_each_offset(try_flips);
	point("each flipped bit is seen, at its place");
	at_each_offset(try_shifts);
	point("lost and repeated bytes are seen");
	at_each_offset(try_locate);
	point("locate an offset");
	test_no_pattern();
	test_forms();
	return tap_end();
}
