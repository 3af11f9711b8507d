/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Durations, counted in fixed buckets: three a decade, from 10 microseconds to 100 seconds, and one for
 * longer ones. Adding one always takes the same short time.
 */
#ifndef DMACAST_HISTOGRAM_H
#define DMACAST_HISTOGRAM_H

#include <stdint.h>

struct state;

#define HISTOGRAM_BOUNDS 22U

struct histogram {
	uint64_t count[HISTOGRAM_BOUNDS + 1]; /* for each bucket, not cumulative */
	uint64_t sum_seconds, sum_ns;	      /* together; sum_ns is less than a second */
};

/** histogram_bound() - return the longest duration of bucket @i, included, in nanoseconds. */
uint64_t histogram_bound(unsigned int i);

/** histogram_add() - count one duration of @ns nanoseconds. */
void histogram_add(struct histogram *histogram, uint64_t ns);

/** histogram_count() - return how many durations were added. */
uint64_t histogram_count(const struct histogram *histogram);

/** histogram_sum() - return the sum of all durations, in seconds. */
double histogram_sum(const struct histogram *histogram);

/**
 * histogram_quantile() - return, in seconds, the bound of the bucket of the shortest duration that a
 * share of @quantile, from 0 to 1, does not exceed; 0 without any, infinite beyond the last bound.
 */
double histogram_quantile(const struct histogram *histogram, double quantile);

/** histogram_transfer() - save or restore the object @name; see state.h. */
void histogram_transfer(struct histogram *histogram, struct state *state, const char *name);

#endif
