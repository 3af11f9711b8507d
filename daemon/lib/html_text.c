// SPDX-License-Identifier: BSD-2-Clause
#include "lib/html_text.h"

static void html_write_byte(FILE *file, unsigned char byte)
{
	switch (byte) {
	case '&':
	case '<':
	case '>':
	case '"':
	case '\'':
	case '`':
		fprintf(file, "&#%u;", byte);
		break;
	default:
		fputc(byte < ' ' || byte == 0x7f ? ' ' : byte, file);
	}
}

void html_write(FILE *file, const char *text)
{
	for (; *text; text++)
		html_write_byte(file, (unsigned char)*text);
}
