// SPDX-License-Identifier: BSD-2-Clause
#include "tally.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Failures after these are counted, not printed. */
#define MAX_FAILURE_LINES 50

struct tally tally = { .first_offset_min = UINT64_MAX };

void tally_fail(const char *format, ...)
{
	va_list arguments;

	if (tally.failures++ >= MAX_FAILURE_LINES)
		return;
	fputs("feedclient: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

int tally_status(void)
{
	if (tally.failures > MAX_FAILURE_LINES)
		fprintf(stderr, "feedclient: and %" PRIu64 " more failures\n",
			tally.failures - MAX_FAILURE_LINES);
	return tally.failures ? 1 : 0;
}
