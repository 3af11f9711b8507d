// SPDX-License-Identifier: BSD-2-Clause
/* Texts for many readers: which one is sent again, how much of the time they take, and when they are freed. */
#include "observe/rendering.h"

#include "lib/clock.h"
#include "tap.h"

#include <event2/buffer.h>
#include <string.h>

#define SECOND 1000000000ULL
/* The time of the first call; the clock of the cost runs by itself. */
#define START_NS (1000 * SECOND)

static const struct rendering_policy policy = {
	.kinds = 2,
	.divisor = 100,
	.least_ns = SECOND,
	.busy_ns = 5 * SECOND,
	.ahead_ns = 3 * SECOND,
};

/* Without regard to what a text costs. */
static const struct rendering_policy free_policy = { .kinds = 2, .least_ns = SECOND };

static struct {
	unsigned int made;
	uint64_t cost_ns; /* at least */
	bool fails;
} work;

static bool rendering_write_number(FILE *file, void *argument)
{
	uint64_t end_ns = clock_monotonic_ns() + work.cost_ns;

	(void)argument;
	fprintf(file, "number %u", ++work.made);
	while (clock_monotonic_ns() < end_ns)
		;
	return !work.fails;
}

/* Return the number of the text that a reader gets; 0: none. */
static unsigned int get_number(struct rendering_cache *cache, const char *kind, uint64_t now_ns)
{
	struct rendering *rendering =
		rendering_get(cache, kind, now_ns, rendering_write_number, NULL);
	struct evbuffer *body = evbuffer_new();
	char text[32] = "";
	unsigned int number = 0;

	if (rendering && rendering_send(rendering, body)) {
		evbuffer_remove(body, text, sizeof(text) - 1);
		sscanf(text, "number %u", &number);
	}
	evbuffer_free(body);
	return number;
}

static struct rendering_cache *begin_cache(const struct rendering_policy *its_policy,
					   uint64_t cost_ns)
{
	work.made = 0;
	work.cost_ns = cost_ns;
	work.fails = false;
	return rendering_cache_create(its_policy);
}

static void test_rendering_age(void)
{
	struct rendering_cache *cache = begin_cache(&policy, 0);
	uint64_t late_ns;

	check(get_number(cache, "a", START_NS) == 1, "not the first");
	check(get_number(cache, "a", START_NS + SECOND - 1) == 1, "another one");
	late_ns = START_NS + SECOND + rendering_wait_ns(cache, START_NS + SECOND);
	check(get_number(cache, "a", late_ns) == 2, "the old one");
	point("a text is sent again until it is old");
	rendering_cache_free(cache);
}

static void test_rendering_cost(void)
{
	struct rendering_cache *cache = begin_cache(&policy, 20000000);
	uint64_t wait_ns;

	get_number(cache, "a", START_NS);
	wait_ns = rendering_wait_ns(cache, START_NS);
	check(wait_ns >= 2 * SECOND, "%llu ns", (unsigned long long)wait_ns);
	check(rendering_interval_ns(cache) == wait_ns, "another interval");
	check(get_number(cache, "a", START_NS + wait_ns - 1) == 1, "made too soon");
	check(get_number(cache, "a", START_NS + wait_ns) == 2, "not made in time");
	point("the next text comes later, the longer one takes");
	rendering_cache_free(cache);
}

static void test_rendering_kinds(void)
{
	struct rendering_cache *cache = begin_cache(&policy, 20000000);

	check(get_number(cache, "a", START_NS) == 1, "not the first");
	work.cost_ns = 40000000; /* at least 4 seconds, and the 2 of the first */
	check(rendering_wait_ns(cache, START_NS) > policy.ahead_ns ||
		      get_number(cache, "b", START_NS) == 2,
	      "no text of another kind");
	check(!get_number(cache, "c", START_NS), "one more kind, without time for it");
	check(get_number(cache, "a", START_NS + SECOND) == 1, "the first is gone");
	work.cost_ns = 0;
	check(get_number(cache, "c", START_NS + 1000 * SECOND), "no other kind later");
	point("new kinds have a little time ahead, and then wait");
	rendering_cache_free(cache);
}

static void test_rendering_limit(void)
{
	struct rendering_cache *cache = begin_cache(&free_policy, 0);
	uint64_t now_ns = START_NS;

	get_number(cache, "a", now_ns);
	get_number(cache, "b", now_ns);
	get_number(cache, "a", now_ns); /* so b is the one to go */
	check(get_number(cache, "c", now_ns) == 3, "not the third");
	check(get_number(cache, "a", now_ns) == 1, "the one that is asked for went");
	check(get_number(cache, "b", now_ns) == 4, "kept for nobody");
	point("the kinds that were asked for last are kept");
	rendering_cache_free(cache);
}

static void test_rendering_readers(void)
{
	struct rendering_cache *cache = begin_cache(&policy, 0);
	struct rendering *rendering =
		rendering_get(cache, "a", START_NS, rendering_write_number, NULL);
	struct evbuffer *body = evbuffer_new();
	char tag[64], text[32] = "";

	snprintf(tag, sizeof(tag), "%s", rendering_tag(rendering));
	check(rendering_send(rendering, body), "no memory");
	check(get_number(cache, "a", START_NS + policy.busy_ns - 1) == 1, "a second text");
	check(get_number(cache, "a", START_NS + 100 * SECOND) == 2, "no second text");
	rendering =
		rendering_get(cache, "a", START_NS + 100 * SECOND, rendering_write_number, NULL);
	check(strcmp(rendering_tag(rendering), tag) != 0, "both have the tag %s", tag);
	rendering_cache_free(cache);
	evbuffer_remove(body, text, sizeof(text) - 1);
	check(!strcmp(text, "number 1"), "it reads \"%s\"", text);
	evbuffer_free(body);
	point("a reader keeps its text, even after the cache is gone");
}

static void test_rendering_failure(void)
{
	struct rendering_cache *cache = begin_cache(&policy, 0);

	work.fails = true;
	check(!get_number(cache, "a", START_NS), "a text that is not complete");
	work.fails = false;
	check(get_number(cache, "a", START_NS + 100 * SECOND) == 2, "no text afterwards");
	point("a text that cannot be made is not kept");
	rendering_cache_free(cache);
}

int main(void)
{
	test_rendering_age();
	test_rendering_cost();
	test_rendering_kinds();
	test_rendering_limit();
	test_rendering_readers();
	test_rendering_failure();
	return tap_end();
}
