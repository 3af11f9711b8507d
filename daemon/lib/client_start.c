// SPDX-License-Identifier: BSD-2-Clause
#include "lib/client_start.h"

#include "lib/units.h"

#include <bsd/string.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPOCH_DIGITS 8

/* Parse what follows the minus sign. */
static bool start_parse_before_end(const char *text, struct client_start *start)
{
	uint64_t number;

	if (units_parse_size(text, &number) && number)
		*start = (struct client_start){ .kind = CLIENT_START_BYTES, .bytes = number };
	else if (units_parse_duration(text, &number) && number)
		*start = (struct client_start){ .kind = CLIENT_START_AGE, .microseconds = number };
	else
		return false;
	return true;
}

/* Parse EPOCH:SEQUENCE. */
static bool start_parse_after(const char *text, struct client_start *start)
{
	struct block_name after;

	for (int i = 0; i < EPOCH_DIGITS; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return false;
	}
	if (text[EPOCH_DIGITS] != ':' ||
	    !units_parse_count(text + EPOCH_DIGITS + 1, &after.sequence))
		return false;
	after.epoch = (uint32_t)strtoul(text, NULL, 16);
	*start = (struct client_start){ .kind = CLIENT_START_AFTER, .after = after };
	return true;
}

bool client_start_parse(const char *text, bool may_resume, struct client_start *start,
			const char **expected)
{
	*expected = may_resume ? "live, oldest, a size before the end such as -4M, a time such as "
				 "-10s, or EPOCH:SEQUENCE such as 1a2b3c4d:1234"
			       : "live, oldest, a size before the end such as -4M, or a time such "
				 "as -10s";
	if (!strcmp(text, "live"))
		*start = (struct client_start){ .kind = CLIENT_START_LIVE };
	else if (!strcmp(text, "oldest"))
		*start = (struct client_start){ .kind = CLIENT_START_OLDEST };
	else if (*text == '-')
		return start_parse_before_end(text + 1, start);
	else
		return may_resume && start_parse_after(text, start);
	return true;
}

const char *block_name_format(const struct block_name *name, char text[CLIENT_START_TEXT])
{
	snprintf(text, CLIENT_START_TEXT, "%08" PRIx32 ":%" PRIu64, name->epoch, name->sequence);
	return text;
}

const char *client_start_format(const struct client_start *start, char text[CLIENT_START_TEXT])
{
	char units[UNITS_TEXT];

	switch (start->kind) {
	case CLIENT_START_LIVE:
		strlcpy(text, "live", CLIENT_START_TEXT);
		break;
	case CLIENT_START_OLDEST:
		strlcpy(text, "oldest", CLIENT_START_TEXT);
		break;
	case CLIENT_START_BYTES:
		snprintf(text, CLIENT_START_TEXT, "-%s", units_format_size(start->bytes, units));
		break;
	case CLIENT_START_AGE:
		snprintf(text, CLIENT_START_TEXT, "-%s",
			 units_format_duration(start->microseconds, units));
		break;
	case CLIENT_START_AFTER:
		block_name_format(&start->after, text);
		break;
	}
	return text;
}

bool client_start_is_equal(const struct client_start *a, const struct client_start *b)
{
	return a->kind == b->kind && a->bytes == b->bytes && a->microseconds == b->microseconds &&
	       a->after.epoch == b->after.epoch && a->after.sequence == b->after.sequence;
}
