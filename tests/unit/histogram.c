// SPDX-License-Identifier: BSD-2-Clause
/* Histograms: buckets, sums beyond what nanoseconds hold, quantiles. And the sums of statistics. */
#include "lib/histogram.h"
#include "lib/stats.h"

#include "tap.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define SECOND 1000000000ULL

static void test_bounds(void)
{
	check(histogram_bound(0) == 10000, "%" PRIu64, histogram_bound(0));
	check(histogram_bound(1) == 25000, "%" PRIu64, histogram_bound(1));
	check(histogram_bound(HISTOGRAM_BOUNDS - 1) == 100 * SECOND, "%" PRIu64,
	      histogram_bound(HISTOGRAM_BOUNDS - 1));
	for (unsigned int i = 1; i < HISTOGRAM_BOUNDS; i++) {
		double step = (double)histogram_bound(i) / (double)histogram_bound(i - 1);

		check(step == 2 || step == 2.5, "bound %u is %f times the one before", i, step);
	}
	point("three bounds a decade, from 10 us to 100 s");
}

/* Each bound is the last of its bucket. */
static void test_buckets(void)
{
	for (unsigned int i = 0; i < HISTOGRAM_BOUNDS; i++) {
		struct histogram histogram = { 0 };

		histogram_add(&histogram, histogram_bound(i));
		check(histogram.count[i] == 1, "bound %u is not in its bucket", i);
		histogram_add(&histogram, histogram_bound(i) + 1);
		check(histogram.count[i + 1] == 1, "bound %u + 1 is not in the next one", i);
		histogram_add(&histogram, histogram_bound(i) - 1);
		check(histogram.count[i] == 2, "bound %u - 1 is not in its bucket", i);
		check(histogram_count(&histogram) == 3, "%" PRIu64 " added",
		      histogram_count(&histogram));
	}
	point("each time is in the first bucket whose bound is not below it");
}

static void test_histogram_sum(void)
{
	struct histogram histogram = { 0 };

	histogram_add(&histogram, 0);
	check(histogram.count[0] == 1 && histogram_sum(&histogram) == 0, "nothing is not 0");
	histogram_add(&histogram, 600000000);
	histogram_add(&histogram, 600000000);
	check(histogram.sum_seconds == 1 && histogram.sum_ns == 200000000,
	      "%" PRIu64 " s %" PRIu64 " ns", histogram.sum_seconds, histogram.sum_ns);
	histogram_add(&histogram, UINT64_MAX);
	histogram_add(&histogram, UINT64_MAX);
	check(histogram.count[HISTOGRAM_BOUNDS] == 2, "the longest are not in the last bucket");
	check(fabs(histogram_sum(&histogram) - 2 * 18446744073.709551615 - 1.2) < 1e-4, "%f",
	      histogram_sum(&histogram));
	point("the sum, beyond 2^64 nanoseconds, too");
}

static void test_quantile(void)
{
	struct histogram histogram = { 0 };

	check(histogram_quantile(&histogram, 0.5) == 0, "%f of nothing",
	      histogram_quantile(&histogram, 0.5));
	for (int i = 0; i < 90; i++)
		histogram_add(&histogram, 30000);
	for (int i = 0; i < 9; i++)
		histogram_add(&histogram, 3 * SECOND);
	histogram_add(&histogram, 1000 * SECOND);
	check(histogram_quantile(&histogram, 0) == 0, "%f", histogram_quantile(&histogram, 0));
	check(histogram_quantile(&histogram, 0.5) == 0.00005, "%f",
	      histogram_quantile(&histogram, 0.5));
	check(histogram_quantile(&histogram, 0.9) == 0.00005, "%f",
	      histogram_quantile(&histogram, 0.9));
	check(histogram_quantile(&histogram, 0.95) == 5, "%f",
	      histogram_quantile(&histogram, 0.95));
	check(histogram_quantile(&histogram, 0.99) == 5, "%f",
	      histogram_quantile(&histogram, 0.99));
	check(isinf(histogram_quantile(&histogram, 1)), "%f", histogram_quantile(&histogram, 1));
	point("quantiles are bounds of buckets");
}

static void test_reasons(void)
{
	for (enum leave_reason i = 0; i < LEAVE_REASONS; i++) {
		const char *word = leave_reason_word(i);

		check(word && *word && leave_reason_text(i) && *leave_reason_text(i),
		      "reason %u has no name", i);
		check(strspn(word, "abcdefghijklmnopqrstuvwxyz_") == strlen(word), "%s", word);
		for (enum leave_reason j = 0; j < i; j++)
			check(strcmp(word, leave_reason_word(j)), "%s twice", word);
	}
	point("each reason to leave has a word of its own, and a text");
}

/* As arrays of numbers: so a field that is forgotten shows. */
static void test_totals(void)
{
	enum { STATS = sizeof(struct client_stats) / 8, SENDS = sizeof(struct zerocopy_stats) / 8 };
	union {
		struct client_stats stats;
		uint64_t number[STATS];
	} stats;
	union {
		struct zerocopy_stats sends;
		uint64_t number[SENDS];
	} sends;
	union {
		struct client_totals totals;
		uint64_t number[STATS + SENDS];
	} sum = { .number = { 0 } }, other;

	for (unsigned int i = 0; i < STATS; i++)
		stats.number[i] = 100 + i;
	for (unsigned int i = 0; i < SENDS; i++)
		sends.number[i] = 100 + STATS + i;
	client_totals_add(&sum.totals, &stats.stats, &sends.sends);
	client_totals_add(&sum.totals, &stats.stats, &sends.sends);
	for (unsigned int i = 0; i < STATS + SENDS; i++)
		check(sum.number[i] == 2 * (100 + i), "field %u is %" PRIu64, i, sum.number[i]);
	other = sum;
	client_totals_join(&sum.totals, &other.totals);
	for (unsigned int i = 0; i < STATS + SENDS; i++)
		check(sum.number[i] == 4 * (100 + i), "joined, field %u is %" PRIu64, i,
		      sum.number[i]);
	point("totals have every counter of every client");
}

int main(void)
{
	test_bounds();
	test_buckets();
	test_histogram_sum();
	test_quantile();
	test_reasons();
	test_totals();
	return tap_end();
}
