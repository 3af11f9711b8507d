// SPDX-License-Identifier: BSD-2-Clause
#include "pattern.h"

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
