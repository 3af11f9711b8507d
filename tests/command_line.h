/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of a tool, as a table: each option has a name, a kind and a place for its value.
 *
 *	static const struct setting settings[] = {
 *		{ "rate", RATE, &opt.rate, "each client reads at most so fast" },
 *	};
 *
 * For include in one file of each tool.
 */
#ifndef TESTS_COMMAND_LINE_H
#define TESTS_COMMAND_LINE_H

#include "lib/units.h"

#include <err.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum setting_kind {
	FLAG,	  /* bool */
	COUNT,	  /* uint64_t */
	SIZE,	  /* uint64_t, bytes */
	RATE,	  /* uint64_t, bytes a second */
	DURATION, /* uint64_t, microseconds */
	NUMBER,	  /* double, not negative */
	TEXT,	  /* const char * */
};

struct setting {
	const char *name;
	enum setting_kind kind;
	void *value;
	const char *help;
};

#define MAX_SETTINGS 64

/* All settings of a tool; @bad_value, if not NULL, reports a bad value instead of the usual message. */
struct settings {
	const struct setting *item;
	size_t count; /* at most MAX_SETTINGS */
	void (*bad_value)(const char *name, const char *value) __attribute__((noreturn));
};

/** settings_print() - print a line of --help for each. */
static inline void settings_print(const struct settings *settings)
{
	static const char *const kind_names[] = {
		[FLAG] = "",	     [COUNT] = "N",	  [SIZE] = "SIZE", [RATE] = "RATE",
		[DURATION] = "TIME", [NUMBER] = "NUMBER", [TEXT] = "TEXT",
	};

	for (size_t i = 0; i < settings->count; i++)
		printf("  --%-15s %-6s  %s\n", settings->item[i].name,
		       kind_names[settings->item[i].kind], settings->item[i].help);
}

static inline bool settings_parse_number(const char *text, double *number)
{
	char *end;

	*number = strtod(text, &end);
	return end != text && !*end && isfinite(*number) && *number >= 0;
}

static inline bool settings_apply(const struct setting *setting, const char *text)
{
	switch (setting->kind) {
	case FLAG:
		*(bool *)setting->value = true;
		return true;
	case COUNT:
		return units_parse_count(text, setting->value);
	case SIZE:
		return units_parse_size(text, setting->value);
	case RATE:
		return units_parse_rate(text, setting->value);
	case DURATION:
		return units_parse_duration(text, setting->value);
	case NUMBER:
		return settings_parse_number(text, setting->value);
	case TEXT:
		*(const char **)setting->value = text;
		return true;
	}
	return false;
}

/** settings_parse() - parse the options, up to optind; exit with 2 if one is wrong. */
static inline void settings_parse(const struct settings *settings, int argc, char **argv)
{
	struct option options[MAX_SETTINGS + 1] = { 0 };
	int index, result;

	for (size_t i = 0; i < settings->count; i++) {
		options[i].name = settings->item[i].name;
		options[i].has_arg =
			settings->item[i].kind == FLAG ? no_argument : required_argument;
	}
	while ((result = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (result == '?')
			exit(2);
		if (settings_apply(&settings->item[index], optarg))
			continue;
		if (settings->bad_value)
			settings->bad_value(settings->item[index].name, optarg);
		errx(2, "bad value for --%s: %s", settings->item[index].name, optarg);
	}
}

#endif
