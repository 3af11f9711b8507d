// SPDX-License-Identifier: BSD-2-Clause
#include "lib/timestamp.h"

#include "lib/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

const char *timestamp_format(uint64_t realtime_ns, char text[TIMESTAMP_TEXT])
{
	time_t seconds = (time_t)(realtime_ns / NS_PER_S);
	struct tm utc;
	size_t length = 0;

	if (gmtime_r(&seconds, &utc))
		length = strftime(text, TIMESTAMP_TEXT, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + length, TIMESTAMP_TEXT - length, ".%09" PRIu64 "Z", realtime_ns % NS_PER_S);
	return text;
}
