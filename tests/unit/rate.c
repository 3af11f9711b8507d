// SPDX-License-Identifier: BSD-2-Clause
/* The rate of a counter, at times of the test's own. */
#include "lib/rate.h"

#include "tap.h"

#include <inttypes.h>

#define MS ((uint64_t)1000000)
#define SECOND (1000 * MS)

/* Long after the boot, as a monotonic clock is. */
static const uint64_t start = 1000000 * SECOND;

static void check_rate(const struct rate *rate, uint64_t count, uint64_t now, uint64_t expected)
{
	uint64_t got = rate_per_second(rate, count, now);

	check(got == expected, "%" PRIu64 " a second after %" PRIu64 " ms, expected %" PRIu64, got,
	      (now - start) / MS, expected);
}

/* Count @step each @interval for @duration. Return: the time of the last change. */
static uint64_t count_up(struct rate *rate, uint64_t *count, uint64_t step, uint64_t interval,
			 uint64_t from, uint64_t duration)
{
	uint64_t now = from;

	while (now + interval <= from + duration) {
		now += interval;
		*count += step;
		rate_note(rate, *count, now);
	}
	return now;
}

static void test_steady(void)
{
	struct rate rate = { 0 };
	uint64_t count = 0, now = start;

	check_rate(&rate, count, now, 0);
	rate_note(&rate, count, now);
	check_rate(&rate, count, now, 0);
	for (int i = 0; i < 100; i++) {
		now = count_up(&rate, &count, 1000, 10 * MS, now, 70 * MS);
		check_rate(&rate, count, now, 100000);
	}
	point("a steady counter has its rate at once and at each time");
}

static void test_change(void)
{
	struct rate rate = { 0 };
	uint64_t count = 0, now = count_up(&rate, &count, 1000, 10 * MS, start, 5 * SECOND);

	now = count_up(&rate, &count, 10, 10 * MS, now, 2 * SECOND + 10 * MS);
	check_rate(&rate, count, now, 1000);
	point("after two seconds nothing is left of another rate");
}

static void test_silence(void)
{
	struct rate rate = { 0 };
	uint64_t count = 0, now = count_up(&rate, &count, 1000, 10 * MS, start, 5 * SECOND);

	check(rate_per_second(&rate, count, now + SECOND) > 0, "none after a second");
	check_rate(&rate, count, now + 2 * SECOND, 0);
	check_rate(&rate, count, now + 3600 * SECOND, 0);
	now = count_up(&rate, &count, 1000, 10 * MS, now + 3600 * SECOND, 2 * SECOND + 10 * MS);
	check_rate(&rate, count, now, 100000);
	point("none for a counter that has stopped");
}

static void test_slow_counter(void)
{
	struct rate rate = { 0 };
	uint64_t count = 0, now = count_up(&rate, &count, 5000, 5 * SECOND, start, 20 * SECOND);

	check_rate(&rate, count, now, 1000);
	check_rate(&rate, count, now + 5 * SECOND, 500);
	check_rate(&rate, count, now + 10 * SECOND, 0);
	point("one that changes every few seconds has the rate between two changes");
}

static void test_large(void)
{
	struct rate rate = { 0 };
	uint64_t count = UINT64_MAX / 2, now = start;

	now = count_up(&rate, &count, 1000 * MS, 10 * MS, now, 3 * SECOND);
	check_rate(&rate, count, now, 100 * SECOND);
	point("large counters");
}

int main(void)
{
	test_steady();
	test_change();
	test_silence();
	test_slow_counter();
	test_large();
	return tap_end();
}
