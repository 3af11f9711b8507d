// SPDX-License-Identifier: BSD-2-Clause
#include "lines.h"

#include <ctype.h>
#include <inttypes.h>

#include "options.h"
#include "tally.h"

#define DIGITS 16U
#define MAX_TEXT 1000U

/* Number of bytes between the digits and the end of the line. */
static size_t text_length(uint64_t number)
{
	return (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 40) % MAX_TEXT;
}

/* Byte of a line. @at: its place, up to the line's end */
static unsigned char line_byte(uint64_t number, size_t at)
{
	if (at < DIGITS)
		return (unsigned char)"0123456789abcdef"[number >> (4 * (DIGITS - 1 - at)) & 15];
	if (at == DIGITS + text_length(number))
		return '\n';
	return (unsigned char)('a' + (number + at) % 26);
}

/* Count the gap in front of a line, of which the number has come. Return: false if there may be none. */
static bool count_line_gap(struct line_check *check, unsigned int client)
{
	uint64_t number = check->number, expected = check->any ? check->next : number;

	if (!check->any && number < tally.first_offset_min)
		tally.first_offset_min = number;
	if (!check->any && number > tally.first_offset_max)
		tally.first_offset_max = number;
	check->any = true;
	check->next = number + 1;
	if (number == expected)
		return true;
	if (number < expected || !opt.allow_gaps) {
		tally_fail("client %u: line %" PRIu64 " follows line %" PRIu64, client, number,
			   expected - 1);
		return false;
	}
	tally.gaps++;
	tally.gap_bytes += number - expected;
	return true;
}

static uint64_t digit_value(unsigned char digit)
{
	return isdigit(digit) ? digit - (uint64_t)'0' : digit - (uint64_t)'a' + 10;
}

static bool check_line_byte(struct line_check *check, unsigned int client, unsigned char byte)
{
	bool right;

	if (check->at < DIGITS) {
		right = isdigit(byte) || (byte >= 'a' && byte <= 'f');
		check->number = check->number << 4 | digit_value(byte);
	} else {
		right = byte == line_byte(check->number, check->at);
	}
	if (!right) {
		tally_fail("client %u: byte %" PRIu64
			   " of the connection is wrong: 0x%02x in line %" PRIu64 ", at %zu",
			   client, check->bytes, byte, check->number, check->at);
		return false;
	}
	if (++check->at == DIGITS && !count_line_gap(check, client))
		return false;
	if (check->at > DIGITS && check->at > DIGITS + text_length(check->number)) {
		check->at = 0;
		check->number = 0;
	}
	check->bytes++;
	return true;
}

bool lines_check(struct line_check *check, unsigned int client, const unsigned char *bytes,
		 size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!check_line_byte(check, client, bytes[i]))
			return false;
	}
	return true;
}

void lines_fill(unsigned char *bytes, size_t length)
{
	static uint64_t number;
	static size_t at;

	while (length--) {
		*bytes = line_byte(number, at++);
		if (*bytes++ != '\n')
			continue;
		number++;
		at = 0;
	}
}
