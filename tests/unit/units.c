// SPDX-License-Identifier: BSD-2-Clause
/* Usage: units [STEPS [SEED]] */
#include "lib/units.h"

#include "dice.h"
#include "tap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef bool parser(const char *text, uint64_t *value);

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define K (1ULL << 10)
#define M (1ULL << 20)
#define G (1ULL << 30)
#define T (1ULL << 40)
#define SECOND 1000000ULL

struct right {
	const char *text;
	uint64_t value;
};

static const struct right counts[] = {
	{ "0", 0 },
	{ "1", 1 },
	{ "007", 7 },
	{ "4294967296", 4 * G },
	{ "18446744073709551615", UINT64_MAX },
};

static const char *const wrong_counts[] = {
	"",
	" ",
	" 1",
	"1 ",
	"+1",
	"-1",
	"-0",
	"0x10",
	"1e3",
	"1,",
	"1.0",
	"auto",
	"max",
	"1K",
	"\t1",
	"1\n",
	"18446744073709551616",
	"99999999999999999999999999999999",
};

static const struct right sizes[] = {
	{ "0", 0 },
	{ "4096", 4096 },
	{ "4096B", 4096 },
	{ "256K", 256 * K },
	{ "256KB", 256 * K },
	{ "256KiB", 256 * K },
	{ "4M", 4 * M },
	{ "4MiB", 4 * M },
	{ "3G", 3 * G },
	{ "3GB", 3 * G },
	{ "2T", 2 * T },
	{ "2TiB", 2 * T },
	{ "0T", 0 },
	{ "16777215T", 16777215 * T },
	{ "18014398509481983K", 18014398509481983 * K },
	{ "18446744073709551615", UINT64_MAX },
};

static const char *const wrong_sizes[] = {
	"",
	"K",
	"B",
	"-1",
	"+1K",
	" 1K",
	"1K ",
	"1 K",
	"1k",
	"1m",
	"1Ki",
	"1iB",
	"1KK",
	"1KBB",
	"1KiBB",
	"1.5K",
	"0x1K",
	"1P",
	"1Kb",
	"auto",
	"1K/s",
	"16777216T",
	"18014398509481984K",
	"18446744073709551616",
};

static const struct right durations[] = {
	{ "0", 0 },
	{ "00", 0 },
	{ "0s", 0 },
	{ "1us", 1 },
	{ "50us", 50 },
	{ "500ms", 500000 },
	{ "10s", 10 * SECOND },
	{ "2m", 120 * SECOND },
	{ "1h", 3600 * SECOND },
	{ "5124095576h", 5124095576 * 3600 * SECOND },
	{ "18446744073709551615us", UINT64_MAX },
};

static const char *const wrong_durations[] = {
	"",	"1",	"s",	"-1s",	 "1S",		"1 s",
	"1s ",	"1sec", "1d",	"1min",	 "1.5s",	"1ss",
	"0x1s", "1n",	"1mss", "never", "5124095577h", "18446744073709551616us",
};

static const struct right rates[] = {
	{ "0/s", 0 },
	{ "1/s", 1 },
	{ "100M/s", 100 * M },
	{ "100MB/s", 100 * M },
	{ "100MiB/s", 100 * M },
	{ "1B/s", 1 },
	{ "max", UNITS_RATE_MAX },
	{ "18446744073709551614/s", UINT64_MAX - 1 },
};

static const char *const wrong_rates[] = {
	"",	  "1",		 "100M",
	"/s",	  "M/s",	 "1M/",
	"1M/S",	  "1M/s ",	 "1M /s",
	"1M/min", "1Mbit/s",	 "MAX",
	"max ",	  "max/s",	 "-1M/s",
	"1.5M/s", "16777216T/s", "18446744073709551615/s", /* would mean "max" */
};

static void test_parser(const char *name, parser *parse, const struct right *right, size_t rights,
			const char *const *wrong, size_t wrongs)
{
	for (size_t i = 0; i < rights; i++) {
		uint64_t value = ~right[i].value;

		check(parse(right[i].text, &value), "\"%s\" refused", right[i].text);
		check(value == right[i].value, "\"%s\" is %" PRIu64, right[i].text, value);
	}
	point("parse a %s", name);
	for (size_t i = 0; i < wrongs; i++) {
		uint64_t value;

		check(!parse(wrong[i], &value), "\"%s\" accepted", wrong[i]);
	}
	point("refuse an invalid %s", name);
}

static const struct {
	const char *(*format)(uint64_t value, char text[UNITS_TEXT]);
	uint64_t value;
	const char *text;
} formatted[] = {
	{ units_format_size, 0, "0" },
	{ units_format_size, 1, "1" },
	{ units_format_size, 1023, "1023" },
	{ units_format_size, 1 * K, "1K" },
	{ units_format_size, 1 * K + 1, "1025" },
	{ units_format_size, 1536 * K, "1536K" },
	{ units_format_size, 16 * M, "16M" },
	{ units_format_size, 3 * T, "3T" },
	{ units_format_size, UINT64_MAX, "18446744073709551615" },
	{ units_format_duration, 0, "0" },
	{ units_format_duration, 1, "1us" },
	{ units_format_duration, 1500, "1500us" },
	{ units_format_duration, 100000, "100ms" },
	{ units_format_duration, 30 * SECOND, "30s" },
	{ units_format_duration, 90 * SECOND, "90s" },
	{ units_format_duration, 120 * SECOND, "2m" },
	{ units_format_duration, 7200 * SECOND, "2h" },
	{ units_format_duration, UINT64_MAX, "18446744073709551615us" },
	{ units_format_rate, 0, "0/s" },
	{ units_format_rate, 100 * M, "100M/s" },
	{ units_format_rate, 999, "999/s" },
	{ units_format_rate, UNITS_RATE_MAX, "max" },
	{ units_format_rate, UNITS_RATE_MAX - 1, "18446744073709551614/s" },
	{ units_format_about, 0, "0 bytes" },
	{ units_format_about, 1023, "1023 bytes" },
	{ units_format_about, 1 * K, "1 KiB" },
	{ units_format_about, 1536, "1.5 KiB" },
	{ units_format_about, 1536 * K, "1.5 MiB" },
	{ units_format_about, 2 * G, "2 GiB" },
	{ units_format_about, UINT64_MAX, "16777216.0 TiB" },
	{ units_format_short, 0, "0" },
	{ units_format_short, 1023, "1023" },
	{ units_format_short, 1 * K, "1.0K" },
	{ units_format_short, 1024 * K - 1, "1.0M" },
	{ units_format_short, 1536 * K, "1.5M" },
	{ units_format_short, UINT64_MAX, "16777216.0T" },
};

static void test_units_format(void)
{
	for (size_t i = 0; i < LENGTH(formatted); i++) {
		char text[UNITS_TEXT];
		const char *returned = formatted[i].format(formatted[i].value, text);

		check(returned == text, "another pointer");
		check(!strcmp(text, formatted[i].text), "\"%s\", expected \"%s\"", text,
		      formatted[i].text);
	}
	point("write quantities");
}

static void test_round_trips(uint64_t steps, uint64_t seed)
{
	static const uint64_t factors[] = {
		1, K, M, G, T, 1000, SECOND, 60 * SECOND, 3600 * SECOND
	};
	struct dice dice = { .state = seed };

	for (uint64_t i = 0; i < steps; i++) {
		/* All magnitudes, and often a multiple of a unit. */
		uint64_t value = (dice_bits(&dice) >> dice_roll(&dice, 0, 63)) *
				 factors[dice_roll(&dice, 0, LENGTH(factors) - 1)];
		uint64_t again;
		char text[UNITS_TEXT];

		check(units_parse_size(units_format_size(value, text), &again) && again == value,
		      "size %" PRIu64 " is \"%s\"", value, text);
		check(units_parse_duration(units_format_duration(value, text), &again) &&
			      again == value,
		      "duration %" PRIu64 " is \"%s\"", value, text);
		check(units_parse_rate(units_format_rate(value, text), &again) && again == value,
		      "rate %" PRIu64 " is \"%s\"", value, text);
	}
	point("a quantity that is written is parsed to the same value");
}

int main(int argc, char **argv)
{
	uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

#define TEST_PARSER(name, parse, right, wrong) \
	test_parser(name, parse, right, LENGTH(right), wrong, LENGTH(wrong))
	TEST_PARSER("count", units_parse_count, counts, wrong_counts);
	TEST_PARSER("size", units_parse_size, sizes, wrong_sizes);
	TEST_PARSER("duration", units_parse_duration, durations, wrong_durations);
	TEST_PARSER("rate", units_parse_rate, rates, wrong_rates);
	test_units_format();
	test_round_trips(steps, seed);
	return tap_end();
}
