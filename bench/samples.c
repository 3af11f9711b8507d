// SPDX-License-Identifier: BSD-2-Clause
#include "samples.h"

#include <err.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAPACITY 4096
#define NS_PER_S 1e9
#define STEPS_PER_OCTAVE 8.0

void samples_add(struct samples *samples, uint64_t ns)
{
	if (samples->count == samples->capacity) {
		samples->capacity = samples->capacity ? 2 * samples->capacity : FIRST_CAPACITY;
		samples->ns = reallocarray(samples->ns, samples->capacity, sizeof(*samples->ns));
		if (!samples->ns)
			err(1, "samples");
	}
	samples->ns[samples->count++] = ns;
}

void samples_clear(struct samples *samples)
{
	samples->count = 0;
}

static int samples_compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

void sort_u64(uint64_t *values, size_t count)
{
	if (count)
		qsort(values, count, sizeof(*values), samples_compare);
}

/* Return the smallest sample that at least a share of @quantile does not exceed, in seconds. */
static double samples_quantile(const struct samples *samples, double quantile)
{
	size_t rank = (size_t)ceil(quantile * (double)samples->count);

	if (!samples->count)
		return NAN;
	return (double)samples->ns[rank ? rank - 1 : 0] / NS_PER_S;
}

void samples_print(struct samples *samples, const char *name)
{
	sort_u64(samples->ns, samples->count);
	printf(" %s_p50=%.6f %s_p99=%.6f %s_p999=%.6f %s_max=%.6f", name,
	       samples_quantile(samples, 0.5), name, samples_quantile(samples, 0.99), name,
	       samples_quantile(samples, 0.999), name, samples_quantile(samples, 1));
}

void samples_write_histogram(struct samples *samples, const char *path)
{
	FILE *file = fopen(path, "we");
	double bound = 1000;
	size_t i = 0;

	if (!file)
		err(1, "%s", path);
	sort_u64(samples->ns, samples->count);
	while (i < samples->count) {
		size_t first = i;

		while (i < samples->count && (double)samples->ns[i] <= bound)
			i++;
		if (i > first)
			fprintf(file, "%.0f %zu\n", bound, i - first);
		bound *= exp2(1 / STEPS_PER_OCTAVE);
	}
	if (fclose(file))
		err(1, "%s", path);
}
