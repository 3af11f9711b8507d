/* SPDX-License-Identifier: BSD-2-Clause */
/* Random numbers that are the same in every run with the same seed (SplitMix64). */
#ifndef DMACAST_TEST_DICE_H
#define DMACAST_TEST_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
	uint64_t state;
};

static inline uint64_t dice_bits(struct dice *dice)
{
	uint64_t bits = dice->state += 0x9e3779b97f4a7c15U;

	bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9U;
	bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebU;
	return bits ^ (bits >> 31);
}

/* dice_roll() - a number from @least to @most. */
static inline uint32_t dice_roll(struct dice *dice, uint32_t least, uint32_t most)
{
	return least + (uint32_t)(dice_bits(dice) % ((uint64_t)most - least + 1));
}

static inline bool dice_one_in(struct dice *dice, uint32_t n)
{
	return dice_bits(dice) % n == 0;
}

#endif
