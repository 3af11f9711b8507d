// SPDX-License-Identifier: BSD-2-Clause
#include "lib/units.h"

#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Largest first: the format functions use the first unit that divides the value. */
static const struct unit duration_units[] = {
	{ "h", 3600000000ULL }, { "m", 60000000ULL }, { "s", 1000000ULL },
	{ "ms", 1000ULL },	{ "us", 1ULL },	      { NULL, 0 },
};

static const struct unit size_units[] = {
	{ "T", 1ULL << 40 }, { "G", 1ULL << 30 }, { "M", 1ULL << 20 },
	{ "K", 1ULL << 10 }, { "", 1ULL },	  { NULL, 0 },
};

/* Parse the digits at the start of @text; *end is the text after them. */
static bool parse_digits(const char *text, uint64_t *number, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &stop, 10);
	*end = stop;
	return errno == 0;
}

static bool units_multiply(uint64_t number, uint64_t factor, uint64_t *product)
{
	return !__builtin_mul_overflow(number, factor, product);
}

bool units_parse_count(const char *text, uint64_t *count)
{
	const char *end;

	return parse_digits(text, count, &end) && !*end;
}

static bool parse_size_prefix(const char *text, uint64_t *bytes, const char **end)
{
	uint64_t number;

	if (!parse_digits(text, &number, end))
		return false;
	for (const struct unit *unit = size_units; unit->suffix; unit++) {
		size_t length = strlen(unit->suffix);

		if (strncmp(*end, unit->suffix, length))
			continue;
		*end += length;
		if (length && !strncmp(*end, "iB", 2))
			*end += 2;
		else if (**end == 'B')
			*end += 1;
		return units_multiply(number, unit->factor, bytes);
	}
	return false;
}

bool units_parse_size(const char *text, uint64_t *bytes)
{
	const char *end;

	return parse_size_prefix(text, bytes, &end) && !*end;
}

bool units_parse_duration(const char *text, uint64_t *microseconds)
{
	uint64_t number;
	const char *end;

	if (!parse_digits(text, &number, &end))
		return false;
	if (!*end && number == 0) {
		*microseconds = 0;
		return true;
	}
	for (const struct unit *unit = duration_units; unit->suffix; unit++) {
		if (!strcmp(end, unit->suffix))
			return units_multiply(number, unit->factor, microseconds);
	}
	return false;
}

bool units_parse_rate(const char *text, uint64_t *bytes_per_second)
{
	const char *end;

	if (!strcmp(text, "max")) {
		*bytes_per_second = UNITS_RATE_MAX;
		return true;
	}
	return parse_size_prefix(text, bytes_per_second, &end) && !strcmp(end, "/s") &&
	       *bytes_per_second != UNITS_RATE_MAX;
}

static const struct unit *exact_unit(const struct unit *units, uint64_t value)
{
	while (value % units->factor)
		units++;
	return units;
}

const char *units_format_size(uint64_t bytes, char text[UNITS_TEXT])
{
	const struct unit *unit = exact_unit(size_units, bytes);

	snprintf(text, UNITS_TEXT, "%" PRIu64 "%s", bytes / unit->factor,
		 bytes ? unit->suffix : "");
	return text;
}

const char *units_format_duration(uint64_t microseconds, char text[UNITS_TEXT])
{
	const struct unit *unit = exact_unit(duration_units, microseconds);

	snprintf(text, UNITS_TEXT, "%" PRIu64 "%s", microseconds / unit->factor,
		 microseconds ? unit->suffix : "");
	return text;
}

const char *units_format_rate(uint64_t bytes_per_second, char text[UNITS_TEXT])
{
	char size[UNITS_TEXT - sizeof("/s")];

	if (bytes_per_second == UNITS_RATE_MAX) {
		strlcpy(text, "max", UNITS_TEXT);
	} else {
		strlcpy(size, units_format_size(bytes_per_second, text), sizeof(size));
		snprintf(text, UNITS_TEXT, "%s/s", size);
	}
	return text;
}

/* A value that would round to 1024.0 of a unit gets the next one, as 1.0. */
static const struct unit *rounded_unit(uint64_t number)
{
	const struct unit *unit = size_units;

	while (number < unit->factor - unit->factor / 2048 && unit->factor > 1)
		unit++;
	return unit;
}

const char *units_format_about(uint64_t bytes, char text[UNITS_TEXT])
{
	const struct unit *unit = rounded_unit(bytes);

	if (unit->factor == 1)
		snprintf(text, UNITS_TEXT, "%" PRIu64 " bytes", bytes);
	else if (bytes % unit->factor == 0)
		snprintf(text, UNITS_TEXT, "%" PRIu64 " %siB", bytes / unit->factor, unit->suffix);
	else
		snprintf(text, UNITS_TEXT, "%.1f %siB", (double)bytes / (double)unit->factor,
			 unit->suffix);
	return text;
}

const char *units_format_short(uint64_t number, char text[UNITS_TEXT])
{
	const struct unit *unit = rounded_unit(number);

	if (unit->factor == 1)
		snprintf(text, UNITS_TEXT, "%" PRIu64, number);
	else
		snprintf(text, UNITS_TEXT, "%.1f%s", (double)number / (double)unit->factor,
			 unit->suffix);
	return text;
}
