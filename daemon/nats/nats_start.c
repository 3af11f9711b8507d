// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_start.h"

#include "lib/clock.h"
#include "lib/units.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#define DURABLE "durable:"
/* The server makes a directory of this name. */
#define MAX_DURABLE_BYTES 200

static bool start_durable_is_valid(const char *name)
{
	for (const char *at = name; *at; at++) {
		if (!isalnum((unsigned char)*at) && *at != '_' && *at != '-')
			return false;
	}
	return *name && strlen(name) <= MAX_DURABLE_BYTES;
}

static bool start_parse_age(const char *text, uint64_t now_ns, struct nats_start *start)
{
	uint64_t age_us;

	if (!units_parse_duration(text, &age_us) || age_us > now_ns / 1000)
		return false;
	*start = (struct nats_start){ .kind = NATS_START_TIME,
				      .realtime_ns = now_ns - age_us * 1000 };
	return true;
}

/* A time in UTC with the precision of a second. */
static bool start_parse_time(const char *text, struct nats_start *start)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t seconds;

	if (!end || (strcmp(end, "Z") && *end))
		return false;
	seconds = timegm(&tm);
	*start = (struct nats_start){ .kind = NATS_START_TIME,
				      .realtime_ns = (uint64_t)seconds * NS_PER_S };
	return seconds >= 0;
}

static bool start_parse_sequence(const char *text, struct nats_start *start)
{
	uint64_t sequence;

	if (!units_parse_count(text, &sequence) || !sequence)
		return false;
	*start = (struct nats_start){ .kind = NATS_START_SEQUENCE, .sequence = sequence };
	return true;
}

bool nats_start_parse(const char *text, uint64_t now_ns, struct nats_start *start,
		      const char **expected)
{
	*expected = "oldest, newest, a sequence from 1, a time in UTC such as 2026-11-30T12:00:00Z "
		    "or -10m, or durable:NAME with letters, digits, '_' and '-'";
	if (!strcmp(text, "oldest"))
		*start = (struct nats_start){ .kind = NATS_START_OLDEST };
	else if (!strcmp(text, "newest"))
		*start = (struct nats_start){ .kind = NATS_START_NEWEST };
	else if (!strncmp(text, DURABLE, strlen(DURABLE)))
		*start = (struct nats_start){ .kind = NATS_START_DURABLE,
					      .durable = text + strlen(DURABLE) };
	else if (*text == '-')
		return start_parse_age(text + 1, now_ns, start);
	else
		return start_parse_sequence(text, start) || start_parse_time(text, start);
	return start->kind != NATS_START_DURABLE || start_durable_is_valid(start->durable);
}
