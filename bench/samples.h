/* SPDX-License-Identifier: BSD-2-Clause */
/* Measured times, each of them kept: quantiles of them are exact. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

/* All zero to begin with. */
struct samples {
	uint64_t *ns;
	size_t count, capacity;
};

/** samples_add() - one more. Ends the program without memory. */
void samples_add(struct samples *samples, uint64_t ns);

/** samples_clear() - none. */
void samples_clear(struct samples *samples);

/** samples_print() - " NAME_p50=S NAME_p99=S NAME_p999=S NAME_max=S", in seconds; "nan" without any. */
void samples_print(struct samples *samples, const char *name);

/**
 * samples_write_histogram() - lines "UP_TO_NS COUNT", in steps of an eighth of a power of two.
 *
 * Ends the program when @path cannot be written.
 */
void samples_write_histogram(struct samples *samples, const char *path);

/** sort_u64() - the smallest first. */
void sort_u64(uint64_t *values, size_t count);

#endif
