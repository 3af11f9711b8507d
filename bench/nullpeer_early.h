/* SPDX-License-Identifier: BSD-2-Clause */
/* What came before its turn, because something before it was lost: ranges of sequence numbers. */
#ifndef NULLPEER_EARLY_H
#define NULLPEER_EARLY_H

#include <stdbool.h>
#include <stdint.h>

#define EARLY_RANGES 8

struct early {
	unsigned int count;
	struct early_range {
		uint32_t from, to; /* without @to */
	} range[EARLY_RANGES];	   /* the one that was added to last comes first */
};

/** sequence_distance() - how far @a is behind @b, in the space of sequence numbers. */
static inline int32_t sequence_distance(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/** early_add() - Return: false when there is no room for it. */
bool early_add(struct early *early, uint32_t from, uint32_t to);

/** early_join() - all before @expected is there. Return: up to where all is there with what came early. */
uint32_t early_join(struct early *early, uint32_t expected);

#endif
