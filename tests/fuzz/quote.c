// SPDX-License-Identifier: BSD-2-Clause
/* Quotes and escapes of configuration files: what is written is read again as the same bytes. */
#include "config/quote.h"

#include "config/escape.h"
#include "fuzz.h"

#include <ctype.h>

static void check_escape(const uint8_t *bytes, size_t length)
{
	char *text = malloc(ESCAPE_TEXT(length));
	unsigned char *again = malloc(length + 1);
	size_t size = length;

	escape_format(bytes, length, text);
	check(escape_parse(text, again, &size) && size == length && !memcmp(again, bytes, size),
	      "%zu bytes are \"%s\", are %zu bytes", length, text, size);
	for (const char *p = text; *p; p++)
		check(*p > ' ' && *p < 0x7f, "byte %d in \"%s\"", *p, text);
	/* No byte more than there is space for. */
	size = length ? length - 1 : 0;
	check(escape_parse(text, again, &size) == !length, "more than %zu bytes", size);
	free(again);
	free(text);
}

static void check_escaped_text(const char *text)
{
	size_t length = strlen(text);
	unsigned char *bytes = malloc(length + 1);

	if (escape_parse(text, bytes, &length))
		check_escape(bytes, length);
	free(bytes);
}

/* Return what quote_print() writes, which the caller frees. */
static char *printed_value(const char *value)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	quote_print(value, file);
	fclose(file);
	return text;
}

/* A value without blanks at its ends: others are refused before. */
static void check_quote(const char *value)
{
	char *text = printed_value(value), *again = NULL;
	const char *comment, *expected;

	check(quote_fits_line("name", value) ==
		      (strlen("name = ") + strlen(text) <= MAX_LINE_BYTES),
	      "a line of %zu bytes", strlen("name = ") + strlen(text));
	expected = quote_remove(text, &again, &comment);
	check(!expected, "\"%s\": expected %s", value, expected);
	check(again && !strcmp(again, value), "\"%s\" is read as \"%s\"", value, again);
	check(!comment, "\"%s\" has a comment", value);
	free(text);
}

static bool has_blank_end(const char *value)
{
	return *value &&
	       (isspace((unsigned char)*value) || isspace((unsigned char)value[strlen(value) - 1]));
}

void fuzz_one(struct fuzz_input *input)
{
	const uint8_t *bytes = input->next;
	size_t length = input->left;
	char *text = fuzz_text(input, false), *value;
	const char *comment;

	check_escape(bytes, length);
	check_escaped_text(text);
	if (!has_blank_end(text))
		check_quote(text);
	if (!quote_remove(text, &value, &comment) && !has_blank_end(value))
		check_quote(value);
	free(text);
}
