// SPDX-License-Identifier: BSD-2-Clause
#include "observe/rendering.h"

#include "lib/clock.h"

#include <bsd/stdlib.h>
#include <bsd/sys/queue.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Enough for two numbers and the quotes. */
#define TAG_TEXT 40

struct rendering {
	TAILQ_ENTRY(rendering) entry; /* of the cache, while it is the newest of its kind */
	char *kind, *text;
	size_t length;
	uint64_t made_ns;
	char tag[TAG_TEXT];
	unsigned int references;
};

TAILQ_HEAD(rendering_list, rendering);

struct rendering_cache {
	const struct rendering_policy *policy;
	struct rendering_list
		newest; /* one of each kind; the one that was asked for last in front */
	unsigned int count;
	uint64_t free_ns; /* monotonic time from which one may be made */
	uint64_t cost_ns; /* of the last one, times divisor */
	uint64_t number;  /* texts made */
	uint32_t random;  /* differs from that of another process */
};

static void rendering_release(struct rendering *rendering)
{
	if (--rendering->references)
		return;
	free(rendering->kind);
	free(rendering->text);
	free(rendering);
}

static void cache_drop(struct rendering_cache *cache, struct rendering *rendering)
{
	TAILQ_REMOVE(&cache->newest, rendering, entry);
	cache->count--;
	rendering_release(rendering);
}

struct rendering_cache *rendering_cache_create(const struct rendering_policy *policy)
{
	struct rendering_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->policy = policy;
	cache->random = arc4random();
	TAILQ_INIT(&cache->newest);
	return cache;
}

void rendering_cache_free(struct rendering_cache *cache)
{
	if (!cache)
		return;
	while (!TAILQ_EMPTY(&cache->newest))
		cache_drop(cache, TAILQ_FIRST(&cache->newest));
	free(cache);
}

uint64_t rendering_wait_ns(const struct rendering_cache *cache, uint64_t now_ns)
{
	return cache->free_ns > now_ns ? cache->free_ns - now_ns : 0;
}

uint64_t rendering_interval_ns(const struct rendering_cache *cache)
{
	return cache->cost_ns > cache->policy->least_ns ? cache->cost_ns : cache->policy->least_ns;
}

static struct rendering *cache_find(const struct rendering_cache *cache, const char *kind)
{
	struct rendering *rendering;

	TAILQ_FOREACH (rendering, &cache->newest, entry) {
		if (!strcmp(rendering->kind, kind))
			return rendering;
	}
	return NULL;
}

static bool rendering_is_new_enough(const struct rendering *rendering,
				    const struct rendering_cache *cache, uint64_t now_ns)
{
	uint64_t age = now_ns - rendering->made_ns;

	return age < cache->policy->least_ns || rendering_wait_ns(cache, now_ns) ||
	       (rendering->references > 1 && age < cache->policy->busy_ns);
}

static bool rendering_write(struct rendering *rendering, bool (*write)(FILE *file, void *argument),
			    void *argument)
{
	FILE *file = open_memstream(&rendering->text, &rendering->length);
	bool complete;

	if (!file)
		return false;
	complete = write(file, argument);
	return !fclose(file) && complete;
}

static struct rendering *rendering_make(const char *kind, bool (*write)(FILE *file, void *argument),
					void *argument)
{
	struct rendering *rendering = calloc(1, sizeof(*rendering));

	if (!rendering)
		return NULL;
	rendering->references = 1;
	rendering->kind = strdup(kind);
	if (rendering->kind && rendering_write(rendering, write, argument))
		return rendering;
	rendering_release(rendering);
	return NULL;
}

/* Keep a new text. */
static void cache_keep(struct rendering_cache *cache, struct rendering *rendering)
{
	snprintf(rendering->tag, sizeof(rendering->tag), "\"%08" PRIx32 "-%" PRIu64 "\"",
		 cache->random, ++cache->number);
	if (cache->count >= cache->policy->kinds)
		cache_drop(cache, TAILQ_LAST(&cache->newest, rendering_list));
	TAILQ_INSERT_HEAD(&cache->newest, rendering, entry);
	cache->count++;
}

static struct rendering *cache_make(struct rendering_cache *cache, const char *kind,
				    uint64_t now_ns, bool (*write)(FILE *file, void *argument),
				    void *argument)
{
	uint64_t begun_ns = clock_monotonic_ns();
	struct rendering *rendering = rendering_make(kind, write, argument);
	uint64_t cost_ns = clock_monotonic_ns() - begun_ns;

	if (cache->free_ns < now_ns)
		cache->free_ns = now_ns;
	cache->cost_ns = cost_ns * cache->policy->divisor;
	cache->free_ns += cache->cost_ns;
	if (!rendering)
		return NULL;
	rendering->made_ns = now_ns;
	cache_keep(cache, rendering);
	return rendering;
}

struct rendering *rendering_get(struct rendering_cache *cache, const char *kind, uint64_t now_ns,
				bool (*write)(FILE *file, void *argument), void *argument)
{
	struct rendering *old = cache_find(cache, kind);

	if (old && rendering_is_new_enough(old, cache, now_ns)) {
		TAILQ_REMOVE(&cache->newest, old, entry);
		TAILQ_INSERT_HEAD(&cache->newest, old, entry);
		return old;
	}
	if (old)
		cache_drop(cache, old);
	else if (rendering_wait_ns(cache, now_ns) > cache->policy->ahead_ns)
		return NULL;
	return cache_make(cache, kind, now_ns, write, argument);
}

const char *rendering_tag(const struct rendering *rendering)
{
	return rendering->tag;
}

static void rendering_was_sent(const void *text, size_t length, void *argument)
{
	(void)text;
	(void)length;
	rendering_release(argument);
}

bool rendering_send(struct rendering *rendering, struct evbuffer *body)
{
	if (evbuffer_add_reference(body, rendering->text, rendering->length, rendering_was_sent,
				   rendering))
		return false;
	rendering->references++;
	return true;
}
