// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_gap.h"

#include <bsd/string.h>
#include <inttypes.h>
#include <stdio.h>

static const struct {
	const char *name, *text;
} cat_gap_origins[CAT_GAP_ORIGINS] = {
	[CAT_GAP_CLIENT] = { "client", "for this client" },
	[CAT_GAP_SOURCE] = { "source", "at the source" },
	[CAT_GAP_UNKNOWN] = { "unknown", NULL },
};

const char *cat_gap_name(enum cat_gap_origin origin)
{
	return cat_gap_origins[origin].name;
}

const char *cat_gap_format(const struct cat_gap *gap, char text[CAT_GAP_TEXT])
{
	if (gap->origin == CAT_GAP_UNKNOWN)
		strlcpy(text, "lost an unknown number of bytes between two connections",
			CAT_GAP_TEXT);
	else
		snprintf(text, CAT_GAP_TEXT, "lost %" PRIu64 " bytes in %" PRIu64 " block%s %s",
			 gap->bytes, gap->blocks, gap->blocks == 1 ? "" : "s",
			 cat_gap_origins[gap->origin].text);
	return text;
}
