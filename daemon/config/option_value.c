// SPDX-License-Identifier: BSD-2-Clause
#include "config/option_value.h"

#include "config/escape.h"
#include "config/option_table.h"
#include "config/quote.h"
#include "lib/endpoint.h"
#include "lib/input.h"
#include "lib/meta.h"
#include "lib/settings.h"

#include <bsd/string.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void value_print(const struct option_definition *option, const char *value, FILE *file)
{
	fprintf(file, "%s = ", option->name);
	quote_print(value, file);
	putc('\n', file);
}

static void word_describe(const struct option_definition *option, FILE *file)
{
	fputs(option->type->word, file);
}

/* ---- numbers ---- */

static bool number_parse(const struct option_definition *option, void *field, const char *text,
			 char expected[OPTION_ERROR_TEXT])
{
	const struct option_type *type = option->type;
	char low[UNITS_TEXT], high[UNITS_TEXT];
	uint64_t number;

	if (option->has_auto && !strcmp(text, "auto")) {
		*(uint64_t *)field = SETTING_AUTO;
		return true;
	}
	if (type->parse_number(text, &number) && number >= option->minimum &&
	    number <= option->maximum) {
		*(uint64_t *)field = number;
		return true;
	}
	snprintf(expected, OPTION_ERROR_TEXT, "%s, from %s to %s%s", type->expect,
		 type->format_number(option->minimum, low),
		 type->format_number(option->maximum, high), option->has_auto ? ", or auto" : "");
	return false;
}

/* Only a number that was never set is below the minimum. */
static void number_print(const struct option_definition *option, const void *field, FILE *file)
{
	uint64_t number = *(const uint64_t *)field;
	char text[UNITS_TEXT];

	if (option->has_auto && number == SETTING_AUTO)
		value_print(option, "auto", file);
	else if (number >= option->minimum)
		value_print(option, option->type->format_number(number, text), file);
}

static bool number_is_equal(const struct option_definition *option, const void *a, const void *b)
{
	(void)option;
	return *(const uint64_t *)a == *(const uint64_t *)b;
}

static const char *format_count(uint64_t number, char text[UNITS_TEXT])
{
	snprintf(text, UNITS_TEXT, "%" PRIu64, number);
	return text;
}

#define NUMBER_FUNCTIONS                                                        \
	.size = sizeof(uint64_t), .parse = number_parse, .print = number_print, \
	.is_equal = number_is_equal, .describe = word_describe

const struct option_type option_type_count = {
	NUMBER_FUNCTIONS,
	.word = "N",
	.expect = "a whole number",
	.parse_number = units_parse_count,
	.format_number = format_count,
};

const struct option_type option_type_size = {
	NUMBER_FUNCTIONS,
	.word = "SIZE",
	.expect = "a size such as 256K or 4M",
	.parse_number = units_parse_size,
	.format_number = units_format_size,
};

const struct option_type option_type_duration = {
	NUMBER_FUNCTIONS,
	.word = "DURATION",
	.expect = "a duration such as 500ms or 10s",
	.parse_number = units_parse_duration,
	.format_number = units_format_duration,
};

const struct option_type option_type_rate = {
	NUMBER_FUNCTIONS,
	.word = "RATE",
	.expect = "a rate such as 100M/s, or max",
	.parse_number = units_parse_rate,
	.format_number = units_format_rate,
};

/* ---- yes or no ---- */

static bool boolean_parse(const struct option_definition *option, void *field, const char *text,
			  char expected[OPTION_ERROR_TEXT])
{
	bool yes = !strcmp(text, "yes");

	(void)option;
	if (!yes && strcmp(text, "no")) {
		strlcpy(expected, "yes or no", OPTION_ERROR_TEXT);
		return false;
	}
	*(bool *)field = yes;
	return true;
}

static void boolean_print(const struct option_definition *option, const void *field, FILE *file)
{
	value_print(option, *(const bool *)field ? "yes" : "no", file);
}

static bool boolean_is_equal(const struct option_definition *option, const void *a, const void *b)
{
	(void)option;
	return *(const bool *)a == *(const bool *)b;
}

const struct option_type option_type_boolean = {
	.size = sizeof(bool),
	.word = "yes|no",
	.parse = boolean_parse,
	.print = boolean_print,
	.is_equal = boolean_is_equal,
	.describe = word_describe,
};

/* ---- one word of several ---- */

static bool choice_parse(const struct option_definition *option, void *field, const char *text,
			 char expected[OPTION_ERROR_TEXT])
{
	for (unsigned int i = 0; option->choices[i]; i++) {
		if (!strcmp(option->choices[i], text)) {
			*(unsigned int *)field = i;
			return true;
		}
	}
	strlcpy(expected, "one of", OPTION_ERROR_TEXT);
	for (unsigned int i = 0; option->choices[i]; i++) {
		strlcat(expected, i ? ", " : " ", OPTION_ERROR_TEXT);
		strlcat(expected, option->choices[i], OPTION_ERROR_TEXT);
	}
	return false;
}

static void choice_print(const struct option_definition *option, const void *field, FILE *file)
{
	value_print(option, option->choices[*(const unsigned int *)field], file);
}

static bool choice_is_equal(const struct option_definition *option, const void *a, const void *b)
{
	(void)option;
	return *(const unsigned int *)a == *(const unsigned int *)b;
}

static void choice_describe(const struct option_definition *option, FILE *file)
{
	for (unsigned int i = 0; option->choices[i]; i++)
		fprintf(file, "%s%s", i ? "|" : "", option->choices[i]);
}

const struct option_type option_type_choice = {
	.size = sizeof(unsigned int),
	.parse = choice_parse,
	.print = choice_print,
	.is_equal = choice_is_equal,
	.describe = choice_describe,
};

/* ---- texts ---- */

/* Return: NULL with @expected empty, without memory. */
static char *value_copy(const char *text, char expected[OPTION_ERROR_TEXT])
{
	expected[0] = '\0';
	return strdup(text);
}

static bool text_parse(const struct option_definition *option, void *field, const char *text,
		       char expected[OPTION_ERROR_TEXT])
{
	char **owned = field, *copy;

	if (!option->type->accepts(text, expected) || !(copy = value_copy(text, expected)))
		return false;
	free(*owned);
	*owned = copy;
	return true;
}

static void text_print(const struct option_definition *option, const void *field, FILE *file)
{
	const char *text = *(char *const *)field;

	if (text)
		value_print(option, text, file);
}

static bool text_is_equal(const struct option_definition *option, const void *a, const void *b)
{
	const char *one = *(char *const *)a, *other = *(char *const *)b;

	(void)option;
	return one && other ? !strcmp(one, other) : one == other;
}

/* What --check prints must be readable as a file. */
static bool is_one_line(const char *text, char expected[OPTION_ERROR_TEXT])
{
	for (const char *p = text; *p; p++) {
		if (iscntrl((unsigned char)*p)) {
			strlcpy(expected, "no control characters", OPTION_ERROR_TEXT);
			return false;
		}
	}
	if (*text &&
	    (isspace((unsigned char)*text) || isspace((unsigned char)text[strlen(text) - 1]))) {
		strlcpy(expected, "no blank at either end", OPTION_ERROR_TEXT);
		return false;
	}
	return true;
}

static bool accepts_input(const char *text, char expected[OPTION_ERROR_TEXT])
{
	struct input input;
	const char *form;

	if (!is_one_line(text, expected))
		return false;
	if (input_parse(text, &input, &form))
		return true;
	strlcpy(expected, form, OPTION_ERROR_TEXT);
	return false;
}

static bool accepts_path(const char *text, char expected[OPTION_ERROR_TEXT])
{
	if (!is_one_line(text, expected))
		return false;
	if (*text == '/' && text[1] != '\0')
		return true;
	strlcpy(expected, "an absolute path such as /dev/dmacast/adc", OPTION_ERROR_TEXT);
	return false;
}

static bool accepts_address(const char *text, char expected[OPTION_ERROR_TEXT])
{
	struct address address;
	const char *form;

	if (address_parse(text, &address, &form))
		return true;
	strlcpy(expected, form, OPTION_ERROR_TEXT);
	return false;
}

#define TEXT_FUNCTIONS                                                    \
	.size = sizeof(char *), .parse = text_parse, .print = text_print, \
	.is_equal = text_is_equal, .describe = word_describe

const struct option_type option_type_input = {
	TEXT_FUNCTIONS,
	.word = "INPUT",
	.accepts = accepts_input,
};

const struct option_type option_type_path = {
	TEXT_FUNCTIONS,
	.word = "PATH",
	.accepts = accepts_path,
};

const struct option_type option_type_address = {
	TEXT_FUNCTIONS,
	.word = "HOST:PORT",
	.accepts = accepts_address,
};

/* ---- lists of texts ---- */

/* Upper bound of the values. */
#define MAX_LIST 64

static bool accepts_endpoint(const char *text, char expected[OPTION_ERROR_TEXT])
{
	struct endpoint endpoint;
	const char *form;

	if (endpoint_parse(text, &endpoint, &form))
		return true;
	strlcpy(expected, form, OPTION_ERROR_TEXT);
	return false;
}

static bool list_parse(const struct option_definition *option, void *field, const char *text,
		       char expected[OPTION_ERROR_TEXT])
{
	struct text_list *list = field;
	char **item, *copy;

	if (list->count == MAX_LIST) {
		snprintf(expected, OPTION_ERROR_TEXT, "at most %d of them in a stream", MAX_LIST);
		return false;
	}
	if (!option->type->accepts(text, expected) || !(copy = value_copy(text, expected)))
		return false;
	item = reallocarray(list->item, list->count + 1, sizeof(*item));
	if (!item) {
		free(copy);
		return false;
	}
	item[list->count++] = copy;
	list->item = item;
	return true;
}

static void list_print(const struct option_definition *option, const void *field, FILE *file)
{
	const struct text_list *list = field;

	for (size_t i = 0; i < list->count; i++)
		value_print(option, list->item[i], file);
}

static bool list_is_equal(const struct option_definition *option, const void *a, const void *b)
{
	const struct text_list *one = a, *other = b;
	bool equal = one->count == other->count;

	(void)option;
	for (size_t i = 0; equal && i < one->count; i++)
		equal = !strcmp(one->item[i], other->item[i]);
	return equal;
}

const struct option_type option_type_endpoint = {
	.size = sizeof(struct text_list),
	.repeats = true,
	.word = "HOST:PORT",
	.parse = list_parse,
	.print = list_print,
	.is_equal = list_is_equal,
	.describe = word_describe,
	.accepts = accepts_endpoint,
};

/* ---- bytes ---- */

static bool record_end_parse(const struct option_definition *option, void *field, const char *text,
			     char expected[OPTION_ERROR_TEXT])
{
	struct record_end end = { 0 };
	size_t length = sizeof(end.byte);

	(void)option;
	if (!escape_parse(text, end.byte, &length) || !length) {
		snprintf(expected, OPTION_ERROR_TEXT,
			 "1 to %d bytes, such as \\n; others than text as \\r, \\t, \\0, "
			 "\\\\ or \\xNN",
			 MAX_RECORD_END);
		return false;
	}
	end.length = (uint8_t)length;
	*(struct record_end *)field = end;
	return true;
}

static void record_end_print(const struct option_definition *option, const void *field, FILE *file)
{
	const struct record_end *end = field;
	char text[ESCAPE_TEXT(MAX_RECORD_END)];

	if (!end->length)
		return;
	escape_format(end->byte, end->length, text);
	value_print(option, text, file);
}

static bool record_end_is_equal(const struct option_definition *option, const void *a,
				const void *b)
{
	const struct record_end *one = a, *other = b;

	(void)option;
	return one->length == other->length && !memcmp(one->byte, other->byte, one->length);
}

const struct option_type option_type_record_end = {
	.size = sizeof(struct record_end),
	.word = "TEXT",
	.parse = record_end_parse,
	.print = record_end_print,
	.is_equal = record_end_is_equal,
	.describe = word_describe,
};

/* ---- metadata ---- */

/* Bytes of a line with metadata, as a file has it: config_file.c reads no longer one. */
#define MAX_META_LINE 4096

static bool accepts_meta(const char *text, char expected[OPTION_ERROR_TEXT])
{
	char key[META_KEY_TEXT];
	const char *form, *value;

	if (!meta_check(text, &form)) {
		strlcpy(expected, form, OPTION_ERROR_TEXT);
		return false;
	}
	value = meta_key(text, key);
	if (!is_one_line(value, expected))
		return false;
	if (strlen("meta. = ") + strlen(key) + quote_length(value) <= MAX_META_LINE)
		return true;
	strlcpy(expected, "a shorter text: at most 4096 bytes in a line", OPTION_ERROR_TEXT);
	return false;
}

static bool meta_parse(const struct option_definition *option, void *field, const char *text,
		       char expected[OPTION_ERROR_TEXT])
{
	char key[META_KEY_TEXT];

	if (!accepts_meta(text, expected))
		return false;
	meta_key(text, key);
	if (!meta_find(field, key))
		return list_parse(option, field, text, expected);
	strlcpy(expected, "each KEY once", OPTION_ERROR_TEXT);
	return false;
}

static void meta_print(const struct option_definition *option, const void *field, FILE *file)
{
	const struct text_list *list = field;

	for (size_t i = 0; i < list->count; i++) {
		char key[META_KEY_TEXT];
		const char *value = meta_key(list->item[i], key);

		fprintf(file, "%s.%s = ", option->name, key);
		quote_print(value, file);
		putc('\n', file);
	}
}

const struct option_type option_type_meta = {
	.size = sizeof(struct text_list),
	.repeats = true,
	.keyed = true,
	.word = "KEY=TEXT",
	.parse = meta_parse,
	.print = meta_print,
	.is_equal = list_is_equal,
	.describe = word_describe,
	.accepts = accepts_meta,
};
