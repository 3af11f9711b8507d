// SPDX-License-Identifier: BSD-2-Clause
/* Names of files by a pattern: each conversion, and each pattern that is wrong. */
#include "ctl/cat_name.h"

#include "tap.h"

#include <string.h>

/* 2026-02-03T04:05:06.789 UTC */
static const struct cat_name_values values = {
	.realtime_ns = 1770091506789012345,
	.number = 7,
	.framed = true,
	.epoch = 0xabc,
	.sequence = 42,
};

static void test_formats(void)
{
	static const struct {
		const char *pattern, *name;
		bool varies;
	} examples[] = {
		{ "plain", "plain", false },
		{ "100%%", "100%", false },
		{ "%%%%n", "%%n", false },
		{ "a-%Y%m%dT%H%M%S.raw", "a-20260203T040506.raw", true },
		{ "%F/%j-%L", "2026-02-03/034-789", true },
		{ "%s", "1770091506", true },
		{ "%e-%q", "00000abc-0000000042", true },
		{ "%n", "000007", true },
		{ "x%n%%", "x000007%", true },
	};
	char name[CAT_NAME_BYTES];
	const char *error;
	bool varies;

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		check(cat_name_check(examples[i].pattern, &varies, &error), "%s: %s",
		      examples[i].pattern, error);
		check(varies == examples[i].varies, "%s: varies", examples[i].pattern);
		check(cat_name_format(examples[i].pattern, &values, name, &error), "%s: %s",
		      examples[i].pattern, error);
		check(!strcmp(name, examples[i].name), "%s: got %s, expected %s",
		      examples[i].pattern, name, examples[i].name);
	}
	point("each conversion");
}

static void test_unknown(void)
{
	const char *expected;
	char pattern[] = "a%?b";
	bool varies;

	for (int c = 1; c < 256; c++) {
		pattern[2] = (char)c;
		check(cat_name_check(pattern, &varies, &expected) ==
			      (strchr("YmdHMSjFsLneq%", c) != NULL),
		      "%%%c", c);
	}
	check(!cat_name_check("", &varies, &expected), "an empty name");
	check(!cat_name_check("a%", &varies, &expected), "%% at the end");
	check(!cat_name_check("%%%", &varies, &expected), "%%%% and %% at the end");
	point("other conversions are errors");
}

static void test_failures(void)
{
	struct cat_name_values raw = values;
	static char longest[CAT_NAME_BYTES + 2];
	char name[CAT_NAME_BYTES];
	const char *error;

	raw.framed = false;
	check(!cat_name_format("%e", &raw, name, &error) && strstr(error, "raw"), "%%e: raw");
	check(!cat_name_format("%q", &raw, name, &error) && strstr(error, "raw"), "%%q: raw");
	check(cat_name_format("%Y-%n", &raw, name, &error), "%%Y-%%n: raw: %s", error);
	memset(longest, 'x', CAT_NAME_BYTES - 1);
	check(cat_name_format(longest, &values, name, &error), "the longest name: %s", error);
	longest[CAT_NAME_BYTES - 1] = 'x';
	check(!cat_name_format(longest, &values, name, &error) && strstr(error, "too long"),
	      "a name that is too long");
	point("a raw stream has no place; a name has a longest length");
}

int main(void)
{
	test_formats();
	test_unknown();
	test_failures();
	return tap_end();
}
