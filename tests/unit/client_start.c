// SPDX-License-Identifier: BSD-2-Clause
/* Texts of where a client begins. */
#include "lib/client_start.h"

#include "tap.h"

#include <inttypes.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void test_right_starts(void)
{
	static const struct {
		const char *text, *again; /* NULL: the same */
		struct client_start start;
	} table[] = {
		{ "live", NULL, { .kind = CLIENT_START_LIVE } },
		{ "oldest", NULL, { .kind = CLIENT_START_OLDEST } },
		{ "-4M", NULL, { .kind = CLIENT_START_BYTES, .bytes = 4 << 20 } },
		{ "-1", NULL, { .kind = CLIENT_START_BYTES, .bytes = 1 } },
		{ "-10s", NULL, { .kind = CLIENT_START_AGE, .microseconds = 10000000 } },
		{ "-5m", NULL, { .kind = CLIENT_START_AGE, .microseconds = 300000000 } },
		{ "-5000ms", "-5s", { .kind = CLIENT_START_AGE, .microseconds = 5000000 } },
		{ "1a2b3c4d:1234",
		  NULL,
		  { .kind = CLIENT_START_AFTER, .after = { 0x1a2b3c4d, 1234 } } },
		{ "0000000A:0", "0000000a:0", { .kind = CLIENT_START_AFTER, .after = { 10, 0 } } },
		{ "ffffffff:18446744073709551615",
		  NULL,
		  { .kind = CLIENT_START_AFTER, .after = { UINT32_MAX, UINT64_MAX } } },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		const char *again = table[i].again ? table[i].again : table[i].text, *expected;
		struct client_start start, other;
		char text[CLIENT_START_TEXT];

		if (!check(client_start_parse(table[i].text, true, &start, &expected), "%s: %s",
			   table[i].text, expected))
			continue;
		check(client_start_is_equal(&start, &table[i].start), "%s", table[i].text);
		check(!strcmp(client_start_format(&start, text), again), "%s is %s", table[i].text,
		      text);
		check(client_start_parse(text, true, &other, &expected) &&
			      client_start_is_equal(&start, &other),
		      "%s", text);
		check(client_start_parse(table[i].text, false, &other, &expected) ==
			      (start.kind != CLIENT_START_AFTER),
		      "%s without EPOCH:SEQUENCE", table[i].text);
	}
	point("each kind of start is parsed, and written as a text with the same meaning");
}

static void test_wrong_starts(void)
{
	static const char *const table[] = {
		"",
		"Live",
		"old",
		"-",
		"-0",
		"-0s",
		"--4M",
		"4M",
		"10s",
		"-4X",
		"-4M ",
		"- 4M",
		"1a2b3c4d",
		"1a2b3c4d:",
		":12",
		"1a2b3c4:1",
		"1a2b3c4d5:1",
		"1a2b3c4d:-1",
		"1a2b3c4d: 1",
		"1a2b3c4d:0x1",
		"1a2b3c4g:1",
		"0x1a2b3c:1",
		"+1a2b3c4:1",
		"1a2b3c4d:18446744073709551616",
		"1a2b3c4d:1\n",
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct client_start start = { .kind = CLIENT_START_BYTES, .bytes = 7 };
		const char *expected = NULL;

		check(!client_start_parse(table[i], true, &start, &expected), "\"%s\"", table[i]);
		check(strstr(expected, "EPOCH:SEQUENCE such as"), "%s", expected);
		check(start.kind == CLIENT_START_BYTES && start.bytes == 7, "\"%s\" changed it",
		      table[i]);
		check(!client_start_parse(table[i], false, &start, &expected), "\"%s\"", table[i]);
		check(strstr(expected, "-10s") && !strstr(expected, "EPOCH"), "%s", expected);
	}
	point("anything else is refused, and the error says what is accepted");
}

int main(void)
{
	test_right_starts();
	test_wrong_starts();
	return tap_end();
}
