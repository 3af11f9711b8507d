// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_name.h"

#include "lib/clock.h"

#include <bsd/string.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Conversions of strftime(3), with digits and hyphens only; and those for the place and the number of a file. */
#define TIME_CONVERSIONS "YmdHMSjFs"
#define OWN_CONVERSIONS "Lneq%"

#define CONVERTED_BYTES 64

bool cat_name_check(const char *pattern, bool *varies, const char **expected)
{
	*varies = false;
	*expected = "a name with the conversions %Y %m %d %H %M %S %L %F %j %s for the time, %e "
		    "for the epoch, %q for the sequence, %n for the number of the file, and %%";
	if (!*pattern)
		return false;
	for (const char *at = strchr(pattern, '%'); at; at = strchr(at + 2, '%')) {
		if (!at[1] || !strchr(TIME_CONVERSIONS OWN_CONVERSIONS, at[1]))
			return false;
		if (at[1] != '%')
			*varies = true;
	}
	return true;
}

static void cat_name_convert_time(char conversion, uint64_t realtime_ns, char *text)
{
	const char format[] = { '%', conversion, '\0' };
	time_t seconds = (time_t)(realtime_ns / NS_PER_S);
	struct tm utc;

	/* strftime() would take the fields for local time. */
	if (conversion == 's')
		snprintf(text, CONVERTED_BYTES, "%lld", (long long)seconds);
	else if (!gmtime_r(&seconds, &utc) || !strftime(text, CONVERTED_BYTES, format, &utc))
		strlcpy(text, "?", CONVERTED_BYTES);
}

/* Return: false for the place of a stream without one. */
static bool cat_name_convert(char conversion, const struct cat_name_values *values, char *text)
{
	switch (conversion) {
	case '%':
		strlcpy(text, "%", CONVERTED_BYTES);
		return true;
	case 'L':
		snprintf(text, CONVERTED_BYTES, "%03" PRIu64,
			 values->realtime_ns % NS_PER_S / 1000000);
		return true;
	case 'n':
		snprintf(text, CONVERTED_BYTES, "%06" PRIu64, values->number);
		return true;
	case 'e':
		snprintf(text, CONVERTED_BYTES, "%08" PRIx32, values->epoch);
		return values->framed;
	case 'q':
		snprintf(text, CONVERTED_BYTES, "%010" PRIu64, values->sequence);
		return values->framed;
	default:
		cat_name_convert_time(conversion, values->realtime_ns, text);
		return true;
	}
}

bool cat_name_format(const char *pattern, const struct cat_name_values *values,
		     char name[CAT_NAME_BYTES], const char **error)
{
	char text[CONVERTED_BYTES];
	size_t length = 0;

	*error = "the name has %e or %q, but the stream is raw, without epoch and sequence";
	name[0] = '\0';
	for (const char *at = pattern; *at; at++) {
		if (*at != '%') {
			text[0] = *at;
			text[1] = '\0';
		} else if (!cat_name_convert(*++at, values, text)) {
			return false;
		}
		length = strlcat(name, text, CAT_NAME_BYTES);
	}
	*error = "the name is too long";
	return length < CAT_NAME_BYTES;
}
