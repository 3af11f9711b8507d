// SPDX-License-Identifier: BSD-2-Clause
#include "lib/pattern.h"

#include "lib/clock.h"

#include <endian.h>
#include <string.h>

static unsigned char pattern_byte(uint64_t offset)
{
	uint64_t word = offset & ~(uint64_t)(PATTERN_WORD - 1);

	return (unsigned char)(word >> (8 * (offset % PATTERN_WORD)));
}

void pattern_fill(void *buffer, size_t length, uint64_t offset)
{
	unsigned char *p = buffer;

	while (length && offset % PATTERN_WORD) {
		*p++ = pattern_byte(offset++);
		length--;
	}
	while (length >= PATTERN_WORD) {
		uint64_t word = htole64(offset);

		memcpy(p, &word, sizeof(word));
		p += PATTERN_WORD;
		offset += PATTERN_WORD;
		length -= PATTERN_WORD;
	}
	while (length--)
		*p++ = pattern_byte(offset++);
}

static void put_word(unsigned char *p, uint64_t word)
{
	word = htole64(word);
	memcpy(p, &word, sizeof(word));
}

static uint64_t get_word(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

void pattern_fill_block(enum pattern_form form, void *block, size_t length, uint64_t offset,
			uint64_t place)
{
	uint64_t body = (form == PATTERN_RESIDENT ? place : offset) + PATTERN_HEAD;
	unsigned char *p = block;

	if (form == PATTERN_OFFSETS) {
		pattern_fill(block, length, offset);
		return;
	}
	if (form == PATTERN_STAMPED || get_word(p + PATTERN_HEAD) != body)
		pattern_fill(p + PATTERN_HEAD, length - PATTERN_HEAD, body);
	put_word(p, offset);
	put_word(p + PATTERN_WORD, clock_monotonic_ns());
}

void pattern_read_head(const void *block, uint64_t *offset, uint64_t *full_ns)
{
	const unsigned char *p = block;

	*offset = get_word(p);
	*full_ns = get_word(p + PATTERN_WORD);
}

size_t pattern_check(const void *buffer, size_t length, uint64_t offset)
{
	const unsigned char *p = buffer;
	size_t done = 0;

	while (done < length && offset % PATTERN_WORD) {
		if (p[done] != pattern_byte(offset))
			return done;
		done++;
		offset++;
	}
	while (length - done >= PATTERN_WORD) {
		uint64_t word;

		memcpy(&word, p + done, sizeof(word));
		if (word != htole64(offset))
			break;
		done += PATTERN_WORD;
		offset += PATTERN_WORD;
	}
	while (done < length && p[done] == pattern_byte(offset)) {
		done++;
		offset++;
	}
	return done;
}

bool pattern_locate(const void *buffer, uint64_t *offset)
{
	uint64_t word[2];

	memcpy(word, buffer, sizeof(word));
	word[0] = le64toh(word[0]);
	word[1] = le64toh(word[1]);
	if (word[0] % PATTERN_WORD || word[1] != word[0] + PATTERN_WORD)
		return false;
	*offset = word[0];
	return true;
}
