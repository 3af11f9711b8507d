// SPDX-License-Identifier: BSD-2-Clause
/* Texts of any bytes as strings of JSON. */
#include "lib/json_text.h"

#include "tap.h"

#include <string.h>

int main(void)
{
	static const struct {
		const char *text, *expected;
	} examples[] = {
		{ "", "" },
		{ "plain \"quoted\"\n", "plain \"quoted\"\n" },
		{ "Gr\xc3\xb6\xc3\x9f"
		  "e",
		  "Gr\xc3\xb6\xc3\x9f"
		  "e" },
		{ "a\xff"
		  "b",
		  "a?b" },
		{ "\xc3\xb6\xc3", "???" },
		{ "\xed\xa0\x80", "???" },
	};

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		json_t *string = json_text(examples[i].text);
		const char *value = json_string_value(string);

		check(value && !strcmp(value, examples[i].expected), "example %zu", i);
		json_decref(string);
	}
	return tap_end();
}
