/* SPDX-License-Identifier: BSD-2-Clause */
/* Measured times. All of them are kept, so that quantiles are exact. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

/* Initialize with zeroes. */
struct samples {
	uint64_t *ns;
	size_t count, capacity;
};

/** samples_add() - add a sample; exit if there is no memory. */
void samples_add(struct samples *samples, uint64_t ns);

/** samples_clear() - remove all samples. */
void samples_clear(struct samples *samples);

/** samples_print() - print " NAME_p50=S NAME_p99=S NAME_p999=S NAME_max=S" in seconds; "nan" without samples. */
void samples_print(struct samples *samples, const char *name);

/**
 * samples_write_histogram() - write lines "UP_TO_NS COUNT", in steps of an eighth of a power of two.
 *
 * Exit if @path cannot be written.
 */
void samples_write_histogram(struct samples *samples, const char *path);

/** sort_u64() - sort in ascending order. */
void sort_u64(uint64_t *values, size_t count);

#endif
