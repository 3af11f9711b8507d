// SPDX-License-Identifier: BSD-2-Clause
#include "lib/histogram.h"

#include "lib/state.h"

#include <math.h>

#define SECOND 1000000000ULL
#define DECADE(ns) (ns), (ns)*5 / 2, (ns)*5

static const uint64_t bounds[HISTOGRAM_BOUNDS] = {
	DECADE(SECOND / 100000), DECADE(SECOND / 10000), DECADE(SECOND / 1000),
	DECADE(SECOND / 100),	 DECADE(SECOND / 10),	 DECADE(SECOND),
	DECADE(SECOND * 10),	 SECOND * 100,
};

uint64_t histogram_bound(unsigned int i)
{
	return bounds[i];
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	unsigned int low = 0, high = HISTOGRAM_BOUNDS;

	/* Find the first bound that is not below. */
	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (bounds[middle] < ns)
			low = middle + 1;
		else
			high = middle;
	}
	histogram->count[low]++;
	histogram->sum_seconds += ns / SECOND;
	histogram->sum_ns += ns % SECOND;
	if (histogram->sum_ns >= SECOND) {
		histogram->sum_seconds++;
		histogram->sum_ns -= SECOND;
	}
}

uint64_t histogram_count(const struct histogram *histogram)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		count += histogram->count[i];
	return count;
}

double histogram_sum(const struct histogram *histogram)
{
	return (double)histogram->sum_seconds + (double)histogram->sum_ns / (double)SECOND;
}

double histogram_quantile(const struct histogram *histogram, double quantile)
{
	double wanted = quantile * (double)histogram_count(histogram);
	uint64_t count = 0;

	if (wanted <= 0)
		return 0;
	for (unsigned int i = 0; i < HISTOGRAM_BOUNDS; i++) {
		count += histogram->count[i];
		if ((double)count >= wanted)
			return (double)bounds[i] / (double)SECOND;
	}
	return INFINITY;
}

void histogram_transfer(struct histogram *histogram, struct state *state, const char *name)
{
	state_enter(state, name);
	state_numbers(state, "count", histogram->count, HISTOGRAM_BOUNDS + 1);
	state_u64(state, "sum_seconds", &histogram->sum_seconds);
	state_u64(state, "sum_ns", &histogram->sum_ns);
	state_leave(state);
}
