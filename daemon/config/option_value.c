// SPDX-License-Identifier: BSD-2-Clause
#include "config/option_value.h"

#include "config/escape.h"
#include "config/option_table.h"
#include "config/quote.h"
#include "lib/access.h"
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

/* Copy a value that owns no memory. */
static bool plain_copy(const struct option_definition *option, void *to, const void *from)
{
	memcpy(to, from, option->type->size);
	return true;
}

#define NUMBER_FUNCTIONS                                                        \
	.size = sizeof(uint64_t), .parse = number_parse, .print = number_print, \
	.is_equal = number_is_equal, .copy = plain_copy, .describe = word_describe

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

/* The class selectors, the assured and the expedited forwarding of RFC 2474, 2597, 3246 and 8622. */
static bool parse_dscp_name(const char *text, uint64_t *number)
{
	unsigned int a, b;
	char end;

	if (!strcmp(text, "EF"))
		*number = 46;
	else if (!strcmp(text, "LE"))
		*number = 1;
	else if (sscanf(text, "CS%1u%c", &a, &end) == 1 && a <= 7)
		*number = (uint64_t)a * 8;
	else if (sscanf(text, "AF%1u%1u%c", &a, &b, &end) == 2 && a >= 1 && a <= 4 && b >= 1 &&
		 b <= 3)
		*number = (uint64_t)a * 8 + (uint64_t)b * 2;
	else
		return false;
	return true;
}

static bool parse_dscp(const char *text, uint64_t *number)
{
	return parse_dscp_name(text, number) || units_parse_count(text, number);
}

const struct option_type option_type_dscp = {
	NUMBER_FUNCTIONS,
	.word = "DSCP",
	.expect = "a code point such as EF, CS5 or AF41, or its number",
	.parse_number = parse_dscp,
	.format_number = format_count,
};

/* ---- a size or a duration ---- */

/* Bounds of a duration in microseconds. A year is less than what time_t of 32 bits has, also in nanoseconds of 64. */
#define MIN_LAG_US 1000U
#define MAX_LAG_US (8760ULL * 3600 * 1000000)

static bool lag_parse(const struct option_definition *option, void *field, const char *text,
		      char expected[OPTION_ERROR_TEXT])
{
	struct lag_limit *limit = field;
	uint64_t number;

	(void)option;
	if (!strcmp(text, "none")) {
		*limit = (struct lag_limit){ 0 };
	} else if (units_parse_size(text, &number) && number) {
		*limit = (struct lag_limit){ .bytes = number };
	} else if (units_parse_duration(text, &number) && number >= MIN_LAG_US &&
		   number <= MAX_LAG_US) {
		*limit = (struct lag_limit){ .microseconds = number };
	} else {
		strlcpy(expected, "a size such as 4M, a duration of 1ms to 8760h, or none",
			OPTION_ERROR_TEXT);
		return false;
	}
	return true;
}

static void lag_print(const struct option_definition *option, const void *field, FILE *file)
{
	const struct lag_limit *limit = field;
	char text[UNITS_TEXT] = "none";

	if (limit->bytes)
		units_format_size(limit->bytes, text);
	else if (limit->microseconds)
		units_format_duration(limit->microseconds, text);
	value_print(option, text, file);
}

static bool lag_is_equal(const struct option_definition *option, const void *a, const void *b)
{
	const struct lag_limit *one = a, *other = b;

	(void)option;
	return one->bytes == other->bytes && one->microseconds == other->microseconds;
}

const struct option_type option_type_lag = {
	.size = sizeof(struct lag_limit),
	.word = "SIZE|DURATION",
	.parse = lag_parse,
	.print = lag_print,
	.is_equal = lag_is_equal,
	.copy = plain_copy,
	.describe = word_describe,
};

/* ---- where a client begins ---- */

static bool start_parse(const struct option_definition *option, void *field, const char *text,
			char expected[OPTION_ERROR_TEXT])
{
	const char *form;

	(void)option;
	if (client_start_parse(text, false, field, &form))
		return true;
	strlcpy(expected, form, OPTION_ERROR_TEXT);
	return false;
}

static void start_print(const struct option_definition *option, const void *field, FILE *file)
{
	char text[CLIENT_START_TEXT];

	value_print(option, client_start_format(field, text), file);
}

static bool start_is_equal(const struct option_definition *option, const void *a, const void *b)
{
	(void)option;
	return client_start_is_equal(a, b);
}

const struct option_type option_type_start = {
	.size = sizeof(struct client_start),
	.word = "live|oldest|-SIZE|-DURATION",
	.parse = start_parse,
	.print = start_print,
	.is_equal = start_is_equal,
	.copy = plain_copy,
	.describe = word_describe,
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
	.copy = plain_copy,
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
	.copy = plain_copy,
	.describe = choice_describe,
};

/* ---- texts ---- */

/* What --check prints must be readable as a file, too. @name: the option */
static bool value_fits_line(const char *name, const char *value, char expected[OPTION_ERROR_TEXT])
{
	if (quote_fits_line(name, value))
		return true;
	snprintf(expected, OPTION_ERROR_TEXT, "a shorter text: at most %d bytes in a line",
		 MAX_LINE_BYTES);
	return false;
}

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

	if (!option->type->accepts(text, expected) ||
	    !value_fits_line(option->name, text, expected) || !(copy = value_copy(text, expected)))
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

static bool text_copy(const struct option_definition *option, void *to, const void *from)
{
	const char *text = *(char *const *)from;

	(void)option;
	*(char **)to = text ? strdup(text) : NULL;
	return !text || *(char **)to;
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

/* @max: bytes that a name may have */
static bool is_name(const char *text, size_t max)
{
	size_t length = strlen(text);

	for (const char *p = text; *p; p++) {
		if (!isgraph((unsigned char)*p) || *p == '/' || *p == ':')
			return false;
	}
	return length && length <= max;
}

static bool accepts_name(const char *text, char expected[OPTION_ERROR_TEXT])
{
	strlcpy(expected, "the name of a section, of 1 to 32 characters", OPTION_ERROR_TEXT);
	return is_name(text, 32);
}

/* The kernel's names of interfaces and of congestion controls have at most 15 bytes. */
static bool accepts_word(const char *text, char expected[OPTION_ERROR_TEXT])
{
	strlcpy(expected, "a name of 1 to 15 characters, without blanks, '/' and ':'",
		OPTION_ERROR_TEXT);
	return is_name(text, 15);
}

#define TEXT_FUNCTIONS                                                    \
	.size = sizeof(char *), .parse = text_parse, .print = text_print, \
	.is_equal = text_is_equal, .copy = text_copy, .describe = word_describe

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

const struct option_type option_type_name = {
	TEXT_FUNCTIONS,
	.word = "NAME",
	.accepts = accepts_name,
};

const struct option_type option_type_word = {
	TEXT_FUNCTIONS,
	.word = "NAME",
	.accepts = accepts_word,
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
		snprintf(expected, OPTION_ERROR_TEXT, "at most %d of them in a section", MAX_LIST);
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

static bool list_copy(const struct option_definition *option, void *to, const void *from)
{
	const struct text_list *list = from;
	char expected[OPTION_ERROR_TEXT];

	for (size_t i = 0; i < list->count; i++) {
		if (!list_parse(option, to, list->item[i], expected))
			return false;
	}
	return true;
}

const struct option_type option_type_endpoint = {
	.size = sizeof(struct text_list),
	.repeats = true,
	.word = "HOST:PORT",
	.parse = list_parse,
	.print = list_print,
	.is_equal = list_is_equal,
	.copy = list_copy,
	.describe = word_describe,
	.accepts = accepts_endpoint,
};

/* ---- inputs ---- */

static bool input_parse_line(const struct option_definition *option, void *field, const char *text,
			     char expected[OPTION_ERROR_TEXT])
{
	struct input_settings *input = field;

	if (input->first)
		return value_fits_line(option->name, text, expected) &&
		       list_parse(option, &input->others, text, expected);
	return text_parse(option, &input->first, text, expected);
}

static void input_print(const struct option_definition *option, const void *field, FILE *file)
{
	const struct input_settings *input = field;

	text_print(option, &input->first, file);
	list_print(option, &input->others, file);
}

static bool input_is_equal(const struct option_definition *option, const void *a, const void *b)
{
	const struct input_settings *one = a, *other = b;

	return text_is_equal(option, &one->first, &other->first) &&
	       list_is_equal(option, &one->others, &other->others);
}

static bool input_copy(const struct option_definition *option, void *to, const void *from)
{
	const struct input_settings *input = from;
	struct input_settings *copy = to;

	return text_copy(option, &copy->first, &input->first) &&
	       list_copy(option, &copy->others, &input->others);
}

const struct option_type option_type_input = {
	.size = sizeof(struct input_settings),
	.repeats = true,
	.word = "INPUT",
	.parse = input_parse_line,
	.print = input_print,
	.is_equal = input_is_equal,
	.copy = input_copy,
	.describe = word_describe,
	.accepts = accepts_input,
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

/* ---- a size or a path ---- */

static bool preamble_parse(const struct option_definition *option, void *field, const char *text,
			   char expected[OPTION_ERROR_TEXT])
{
	struct preamble_setting *preamble = field, value = { 0 };
	char most[UNITS_TEXT];

	if (*text == '/' && accepts_path(text, expected) &&
	    value_fits_line(option->name, text, expected)) {
		value.path = value_copy(text, expected);
		if (!value.path)
			return false;
	} else if (*text == '/') {
		return false;
	} else if (!units_parse_size(text, &value.bytes) || !value.bytes ||
		   value.bytes > MAX_PREAMBLE) {
		snprintf(expected, OPTION_ERROR_TEXT,
			 "the absolute path of a file, or a size such as 44, from 1 to %s",
			 units_format_size(MAX_PREAMBLE, most));
		return false;
	}
	free(preamble->path);
	*preamble = value;
	return true;
}

static void preamble_print(const struct option_definition *option, const void *field, FILE *file)
{
	const struct preamble_setting *preamble = field;
	char text[UNITS_TEXT];

	if (preamble->path)
		value_print(option, preamble->path, file);
	else if (preamble->bytes)
		value_print(option, units_format_size(preamble->bytes, text), file);
}

static bool preamble_is_equal(const struct option_definition *option, const void *a, const void *b)
{
	const struct preamble_setting *one = a, *other = b;

	return one->bytes == other->bytes && text_is_equal(option, &one->path, &other->path);
}

const struct option_type option_type_preamble = {
	.size = sizeof(struct preamble_setting),
	.word = "SIZE|PATH",
	.parse = preamble_parse,
	.print = preamble_print,
	.is_equal = preamble_is_equal,
	.describe = word_describe,
};

/* ---- metadata ---- */

static bool accepts_meta(const char *text, char expected[OPTION_ERROR_TEXT])
{
	char name[sizeof("meta.") + META_KEY_TEXT] = "meta.";
	const char *form, *value;

	if (!meta_check(text, &form)) {
		strlcpy(expected, form, OPTION_ERROR_TEXT);
		return false;
	}
	value = meta_key(text, name + strlen("meta."));
	return is_one_line(value, expected) && value_fits_line(name, value, expected);
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

/* ---- rules about addresses ---- */

/* Upper bound of the rules: each connection is compared with them. */
#define MAX_ACCESS_RULES 1024
#define MAX_ACCESS_EXPECTED "at most 1024 prefixes in a section"

/* Add a rule for each prefix of @text; on failure, none. */
static bool access_add(struct access_list *list, bool allow, const char *text,
		       char expected[OPTION_ERROR_TEXT])
{
	char copy[OPTION_ERROR_TEXT], *rest = copy, *word;
	struct access_rule rule = { .allow = allow };
	size_t before = list->count;
	const char *wanted = "shorter lines; the option may be given several times";
	bool added = strlcpy(copy, text, sizeof(copy)) < sizeof(copy);

	expected[0] = '\0';
	while (added && (word = strsep(&rest, " ,\t"))) {
		if (!*word)
			continue;
		added = access_parse(word, &rule, &wanted);
		if (added && list->count == MAX_ACCESS_RULES) {
			added = false;
			wanted = MAX_ACCESS_EXPECTED;
		}
		if (added && !access_list_add(list, &rule)) {
			list->count = before;
			return false;
		}
	}
	if (added && list->count > before)
		return true;
	list->count = before;
	strlcpy(expected, added ? "at least one prefix, or all" : wanted, OPTION_ERROR_TEXT);
	return false;
}

static bool allow_parse(const struct option_definition *option, void *field, const char *text,
			char expected[OPTION_ERROR_TEXT])
{
	(void)option;
	return access_add(field, true, text, expected);
}

static bool deny_parse(const struct option_definition *option, void *field, const char *text,
		       char expected[OPTION_ERROR_TEXT])
{
	(void)option;
	return access_add(field, false, text, expected);
}

/* Print both kinds, since their order matters. */
static void access_print(const struct option_definition *option, const void *field, FILE *file)
{
	const struct access_list *list = field;
	char text[ACCESS_TEXT];

	(void)option;
	for (size_t i = 0; i < list->count; i++)
		fprintf(file, "%s = %s\n", list->rule[i].allow ? "allow" : "deny",
			access_format(&list->rule[i], text));
}

static void access_print_nothing(const struct option_definition *option, const void *field,
				 FILE *file)
{
	(void)option;
	(void)field;
	(void)file;
}

static bool access_is_equal(const struct option_definition *option, const void *a, const void *b)
{
	(void)option;
	return access_list_is_equal(a, b);
}

static bool access_copy(const struct option_definition *option, void *to, const void *from)
{
	(void)option;
	return access_list_copy(to, from);
}

/* The list is copied with the first of its options. */
static bool access_copy_nothing(const struct option_definition *option, void *to, const void *from)
{
	(void)option;
	(void)to;
	(void)from;
	return true;
}

#define ACCESS_FUNCTIONS                                                       \
	.size = sizeof(struct access_list), .repeats = true, .word = "PREFIX", \
	.is_equal = access_is_equal, .describe = word_describe

const struct option_type option_type_allow = {
	ACCESS_FUNCTIONS,
	.parse = allow_parse,
	.print = access_print,
	.copy = access_copy,
};

const struct option_type option_type_deny = {
	ACCESS_FUNCTIONS,
	.parse = deny_parse,
	.print = access_print_nothing,
	.copy = access_copy_nothing,
};
