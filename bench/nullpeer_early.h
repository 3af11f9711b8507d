/* SPDX-License-Identifier: BSD-2-Clause */
/* Data received after a lost packet, as ranges of sequence numbers. */
#ifndef NULLPEER_EARLY_H
#define NULLPEER_EARLY_H

#include <stdbool.h>
#include <stdint.h>

#define EARLY_RANGES 8

struct early {
	unsigned int count;
	struct early_range {
		uint32_t from, to; /* @to is exclusive */
	} range[EARLY_RANGES];	   /* the last changed one comes first */
};

/** sequence_distance() - return @a - @b in the space of sequence numbers. */
static inline int32_t sequence_distance(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/** early_add() - add a range. Return: false if there are too many. */
bool early_add(struct early *early, uint32_t from, uint32_t to);

/** early_join() - return the end of the data without a gap, if all before @expected has come. */
uint32_t early_join(struct early *early, uint32_t expected);

#endif
