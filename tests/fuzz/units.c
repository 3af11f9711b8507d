// SPDX-License-Identifier: BSD-2-Clause
/* Numbers with units: parse any text as a model does; the text of any number parses to the same number. */
#include "lib/units.h"

#include "fuzz.h"

#include <inttypes.h>

struct model_unit {
	const char *suffix;
	uint64_t factor;
};

static const struct model_unit model_sizes[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "K", 1ULL << 10 },
	{ "KB", 1ULL << 10 },
	{ "KiB", 1ULL << 10 },
	{ "M", 1ULL << 20 },
	{ "MB", 1ULL << 20 },
	{ "MiB", 1ULL << 20 },
	{ "G", 1ULL << 30 },
	{ "GB", 1ULL << 30 },
	{ "GiB", 1ULL << 30 },
	{ "T", 1ULL << 40 },
	{ "TB", 1ULL << 40 },
	{ "TiB", 1ULL << 40 },
	{ NULL, 0 },
};
static const struct model_unit model_durations[] = {
	{ "us", 1 },	   { "ms", 1000 },	   { "s", 1000000 },
	{ "m", 60000000 }, { "h", 3600000000ULL }, { NULL, 0 },
};
static const struct model_unit model_counts[] = { { "", 1 }, { NULL, 0 } };

/* Parse digits, one of @units and @after. Return: false if @text is anything else, or 2^64 or more. */
static bool model_parse(const char *text, const struct model_unit *units, const char *after,
			uint64_t *number)
{
	size_t digits = strspn(text, "0123456789");
	unsigned __int128 value = 0;
	char rest[16];

	for (size_t i = 0; i < digits && value <= UINT64_MAX; i++)
		value = value * 10 + (unsigned int)(text[i] - '0');
	if (!digits || value > UINT64_MAX)
		return false;
	for (; units->suffix; units++) {
		snprintf(rest, sizeof(rest), "%s%s", units->suffix, after);
		if (strcmp(text + digits, rest))
			continue;
		value *= units->factor;
		*number = (uint64_t)value;
		return value <= UINT64_MAX;
	}
	return false;
}

static bool model_parse_count(const char *text, uint64_t *number)
{
	return model_parse(text, model_counts, "", number);
}

static bool model_parse_size(const char *text, uint64_t *number)
{
	return model_parse(text, model_sizes, "", number);
}

static bool model_parse_duration(const char *text, uint64_t *number)
{
	return model_parse(text, model_durations, "", number) ||
	       (model_parse(text, model_counts, "", number) && !*number);
}

static bool model_parse_rate(const char *text, uint64_t *number)
{
	*number = UNITS_RATE_MAX;
	return !strcmp(text, "max") ||
	       (model_parse(text, model_sizes, "/s", number) && *number != UNITS_RATE_MAX);
}

static const char *format_plain(uint64_t number, char text[UNITS_TEXT])
{
	snprintf(text, UNITS_TEXT, "%" PRIu64, number);
	return text;
}

static const struct quantity {
	bool (*parse)(const char *text, uint64_t *number);
	bool (*model)(const char *text, uint64_t *number);
	const char *(*format)(uint64_t number, char text[UNITS_TEXT]);
} quantities[] = {
	{ units_parse_count, model_parse_count, format_plain },
	{ units_parse_size, model_parse_size, units_format_size },
	{ units_parse_duration, model_parse_duration, units_format_duration },
	{ units_parse_rate, model_parse_rate, units_format_rate },
};

static void check_number_text(const struct quantity *quantity, uint64_t number)
{
	char text[UNITS_TEXT];
	uint64_t again = 0;

	check(quantity->format(number, text) == text, "another pointer");
	check(quantity->parse(text, &again) && again == number,
	      "%" PRIu64 " is \"%s\", is %" PRIu64, number, text, again);
}

static void check_rounded(uint64_t number)
{
	char text[UNITS_TEXT];

	check(strlen(units_format_about(number, text)) >= strlen("1 KiB"), "\"%s\"", text);
	check(strlen(units_format_short(number, text)) <= strlen("1023.9M") || number >> 40,
	      "\"%s\"", text);
}

void fuzz_one(struct fuzz_input *input)
{
	struct fuzz_input bytes = *input;
	uint64_t number = fuzz_number(&bytes, 8);
	char *text = fuzz_text(input, false);

	for (size_t i = 0; i < sizeof(quantities) / sizeof(quantities[0]); i++) {
		const struct quantity *quantity = &quantities[i];
		uint64_t got = 0, expected = 0;
		bool right = quantity->parse(text, &got), wanted = quantity->model(text, &expected);

		check(right == wanted && (!wanted || got == expected),
		      "%zu: \"%s\" is %d, %" PRIu64 ", expected %d, %" PRIu64, i, text, right, got,
		      wanted, expected);
		if (right)
			check_number_text(quantity, got);
		check_number_text(quantity, number);
		check_number_text(quantity, number & -number); /* a power of two */
	}
	check_rounded(number);
	free(text);
}
