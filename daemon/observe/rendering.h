/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Texts that are made once and sent to many HTTP clients: the newest of each kind is kept, and older ones as long as
 * a connection still sends them.
 *
 * A cache bounds the part of the time that making its texts may take: after one that took t, the next is made
 * divisor * t later at the earliest, whatever its kind. Until then the newest text of a kind is sent again.
 */
#ifndef DMACAST_RENDERING_H
#define DMACAST_RENDERING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct evbuffer;
struct rendering;
struct rendering_cache;

struct rendering_policy {
	unsigned int kinds;   /* upper bound for the texts that are kept */
	unsigned int divisor; /* of the time that making them may take */
	uint64_t least_ns;    /* age up to which a text is always sent again */
	uint64_t busy_ns;     /* the same while a connection still sends it */
	uint64_t ahead_ns; /* time for which a first text of a kind may be made before its turn */
};

/** rendering_cache_create() - make a cache. @policy: must outlive it. Return: NULL without memory. */
struct rendering_cache *rendering_cache_create(const struct rendering_policy *policy);

/** rendering_cache_free() - free a cache; texts that are still sent stay until then. */
void rendering_cache_free(struct rendering_cache *cache);

/** rendering_interval_ns() - return the time between two texts at the present load, from the cost of the last one. */
uint64_t rendering_interval_ns(const struct rendering_cache *cache);

/** rendering_wait_ns() - return the time until the cache may make a text. @now_ns: monotonic */
uint64_t rendering_wait_ns(const struct rendering_cache *cache, uint64_t now_ns);

/**
 * rendering_get() - return the text of a kind, which is valid until the next call.
 * @kind: identifies it; copied
 * @now_ns: monotonic
 * @write: writes a new one; returns false without memory
 *
 * Return: NULL without memory; or, if rendering_wait_ns() is above ahead_ns, without time for a kind that was not
 * made yet.
 */
struct rendering *rendering_get(struct rendering_cache *cache, const char *kind, uint64_t now_ns,
				bool (*write)(FILE *file, void *argument), void *argument);

/** rendering_tag() - return the entity tag for HTTP, which no other text has. */
const char *rendering_tag(const struct rendering *rendering);

/** rendering_send() - add the text to @body, without copying it. Return: false without memory. */
bool rendering_send(struct rendering *rendering, struct evbuffer *body);

#endif
