// SPDX-License-Identifier: BSD-2-Clause
/* Small allocations succeed without memory, as often as the reserve has chunks, and it is filled again. */
#include "lib/memory_reserve.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "addresslimit.h"
#include "tap.h"

#define ENOUGH 1000 /* more than the reserve has */

/* What a process without memory has allocated: each begins with the next one. */
static void **allocated;
static struct rlimit before;

/* Allow no new mapping, and take what malloc() has left. */
static void begin_lack(void)
{
	void **more;

	before = addresslimit_forbid();
	for (size_t size = 1 << 16; size >= sizeof(*more); size /= 2) {
		while ((more = malloc(size))) {
			*more = allocated;
			allocated = more;
		}
	}
}

static void end_lack(void)
{
	addresslimit_allow(&before);
	while (allocated) {
		void **next = *allocated;

		free(allocated);
		allocated = next;
	}
}

/* Return how many allocations succeed without memory. */
static unsigned int count_served(size_t size)
{
	static void *served[ENOUGH];
	unsigned int count = 0;

	begin_lack();
	while (count < ENOUGH && (served[count] = memory_reserve_malloc(size)))
		memset(served[count++], 0xa5, size);
	end_lack();
	for (unsigned int i = 0; i < count; i++)
		free(served[i]);
	return count;
}

static void test_served(void)
{
	unsigned int first = count_served(1024), empty = count_served(1);

	check(first >= 100 && first < ENOUGH, "%u", first);
	check(!empty, "%u of an empty reserve", empty);
	free(memory_reserve_malloc(1));
	check(count_served(1024) == first, "not filled again");
	free(memory_reserve_malloc(1));
	check(!count_served(1025), "a large one");
	point("small allocations are served without memory, and the reserve is filled again");
}

static void test_realloc(void)
{
	char *text = strdup("what was there"), *more;

	begin_lack();
	more = memory_reserve_realloc(text, 1000);
	end_lack();
	check(more && !strcmp(more, "what was there"), "%s", more ? more : "nothing");
	free(more);
	point("an allocation that grows keeps its bytes");
}

int main(void)
{
	if (addresslimit_ends_process()) {
		tap_skip("small allocations without memory",
			 "the tool has an allocator of its own");
		return tap_end();
	}
	check(memory_reserve_open(), "no memory");
	test_served();
	test_realloc();
	memory_reserve_close();
	check(!count_served(1), "closed");
	point("a closed reserve has nothing");
	return tap_end();
}
