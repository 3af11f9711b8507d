// SPDX-License-Identifier: BSD-2-Clause
#include "config/escape.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char letter[] = "nrt0\\";
static const unsigned char meaning[] = { '\n', '\r', '\t', '\0', '\\' };

/* Parse what follows a backslash. Return: the number of characters; 0: it is no escape. */
static size_t parse_escape(const char *text, unsigned char *byte)
{
	const char *found = *text ? strchr(letter, *text) : NULL;
	char digits[3] = "";

	if (found) {
		*byte = meaning[found - letter];
		/* In C this would be one octal number. */
		return *text == '0' && isdigit((unsigned char)text[1]) ? 0 : 1;
	}
	if (*text != 'x' || !isxdigit((unsigned char)text[1]) || !isxdigit((unsigned char)text[2]))
		return 0;
	memcpy(digits, text + 1, 2);
	*byte = (unsigned char)strtoul(digits, NULL, 16);
	return 3;
}

bool escape_parse(const char *text, unsigned char *bytes, size_t *length)
{
	size_t size = *length, count = 0;

	while (*text) {
		unsigned char byte = (unsigned char)*text++;

		if (byte == '\\') {
			size_t characters = parse_escape(text, &byte);

			if (!characters)
				return false;
			text += characters;
		}
		if (count == size)
			return false;
		bytes[count++] = byte;
	}
	*length = count;
	return true;
}

void escape_format(const unsigned char *bytes, size_t length, char *text)
{
	for (size_t i = 0; i < length; i++) {
		const unsigned char *found = memchr(meaning, bytes[i], sizeof(meaning));
		bool octal = !bytes[i] && i + 1 < length && isdigit(bytes[i + 1]);

		if (found && !octal)
			text += sprintf(text, "\\%c", letter[found - meaning]);
		else if (bytes[i] > ' ' && bytes[i] < 0x7f)
			*text++ = (char)bytes[i];
		else
			text += sprintf(text, "\\x%02x", bytes[i]);
	}
	*text = '\0';
}
