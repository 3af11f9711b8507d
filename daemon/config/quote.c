// SPDX-License-Identifier: BSD-2-Clause
#include "config/quote.h"

#include <ctype.h>
#include <string.h>

#define BLANKS " \t\n\v\f\r"

static void strip_end(char *text)
{
	size_t length = strlen(text);

	while (length && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
}

/* Return: the semicolon that begins a comment in a value without quotes, or NULL. */
static char *find_comment(char *value)
{
	for (char *p = value; *p; p++) {
		if (*p == ';' && (p == value || isspace((unsigned char)p[-1])))
			return p;
	}
	return NULL;
}

/* @text: what follows the opening quote. Return: what follows the closing one; NULL: there is none. */
static char *remove_quotes(char *text)
{
	char *to = text;

	for (char *from = text; *from; from++) {
		if (*from == '"') {
			*to = '\0';
			return from + 1;
		}
		if (*from == '\\' && (from[1] == '"' || from[1] == '\\'))
			from++;
		*to++ = *from;
	}
	return NULL;
}

const char *quote_remove(char *text, char **value, const char **comment)
{
	char *rest;

	*comment = NULL;
	text += strspn(text, BLANKS);
	*value = text;
	if (*text != '"') {
		rest = find_comment(text);
		if (rest) {
			*comment = rest + 1;
			*rest = '\0';
		}
		strip_end(text);
		return NULL;
	}
	*value = text + 1;
	rest = remove_quotes(*value);
	if (!rest)
		return "a quote (\") at the end of the value";
	rest += strspn(rest, BLANKS);
	if (*rest && *rest != ';')
		return "only a comment behind the closing quote; write \\\" for a quote in a "
		       "quoted value";
	return NULL;
}

static bool needs_quotes(const char *value)
{
	if (*value == '"' || *value == ';')
		return true;
	for (const char *p = value; (p = strchr(p, ';')); p++) {
		if (p > value && isspace((unsigned char)p[-1]))
			return true;
	}
	return false;
}

/* A backslash in front of another one, or of a quote, would be read as an escape. */
static bool needs_escape(const char *p)
{
	return *p == '"' || (*p == '\\' && (p[1] == '\\' || p[1] == '"' || !p[1]));
}

void quote_print(const char *value, FILE *file)
{
	if (!needs_quotes(value)) {
		fputs(value, file);
		return;
	}
	putc('"', file);
	for (const char *p = value; *p; p++) {
		if (needs_escape(p))
			putc('\\', file);
		putc(*p, file);
	}
	putc('"', file);
}

/* Return the number of bytes that quote_print() writes. */
static size_t quote_length(const char *value)
{
	size_t length = strlen(value);

	if (!needs_quotes(value))
		return length;
	for (const char *p = value; *p; p++)
		length += needs_escape(p);
	return length + 2;
}

bool quote_fits_line(const char *name, const char *value)
{
	return strlen(name) + strlen(" = ") + quote_length(value) <= MAX_LINE_BYTES;
}
