// SPDX-License-Identifier: BSD-2-Clause
/* Moments as text. */
#include "lib/timestamp.h"

#include "tap.h"

#include <string.h>

int main(void)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} moments[] = {
		{ 0, "1970-01-01T00:00:00.000000000Z" },
		{ 1770091506789012345, "2026-02-03T04:05:06.789012345Z" },
		{ 4102444799000000001, "2099-12-31T23:59:59.000000001Z" },
		{ UINT64_MAX, "2554-07-21T23:34:33.709551615Z" },
	};
	char text[TIMESTAMP_TEXT];

	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++)
		check(!strcmp(timestamp_format(moments[i].ns, text), moments[i].text),
		      "got %s, expected %s", text, moments[i].text);
	point("nanoseconds since 1970 as a time in UTC");
	return tap_end();
}
