// SPDX-License-Identifier: BSD-2-Clause
#include "nullpeer_early.h"

#include <string.h>

static void early_remove_range(struct early *early, unsigned int at)
{
	early->count--;
	memmove(&early->range[at], &early->range[at + 1],
		(early->count - at) * sizeof(early->range[0]));
}

bool early_add(struct early *early, uint32_t from, uint32_t to)
{
	for (unsigned int i = 0; i < early->count;) {
		struct early_range *range = &early->range[i];

		if (sequence_distance(range->from, to) > 0 ||
		    sequence_distance(from, range->to) > 0) {
			i++;
			continue;
		}
		/* They touch: merge them. */
		if (sequence_distance(range->from, from) < 0)
			from = range->from;
		if (sequence_distance(range->to, to) > 0)
			to = range->to;
		early_remove_range(early, i);
	}
	if (early->count == EARLY_RANGES)
		return false;
	memmove(&early->range[1], &early->range[0], early->count * sizeof(early->range[0]));
	early->range[0] = (struct early_range){ from, to };
	early->count++;
	return true;
}

uint32_t early_join(struct early *early, uint32_t expected)
{
	for (unsigned int i = 0; i < early->count;) {
		const struct early_range range = early->range[i];

		if (sequence_distance(range.from, expected) > 0) {
			i++;
			continue;
		}
		early_remove_range(early, i);
		if (sequence_distance(range.to, expected) > 0)
			expected = range.to;
		i = 0; /* other ranges may be adjacent now */
	}
	return expected;
}
