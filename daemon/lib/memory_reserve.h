/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for libevent when there is none. libevent 2.1 dereferences NULL where a small allocation fails: in
 * bufferevent_setwatermark(), and in evhttp while it accepts a connection. Chunks that were allocated before take
 * the place of allocations that fail, and are replaced as soon as there is memory again.
 */
#ifndef DMACAST_MEMORY_RESERVE_H
#define DMACAST_MEMORY_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

/** memory_reserve_open() - fill the reserve. Return: false without memory. Call it once, before libevent is used. */
bool memory_reserve_open(void);

/** memory_reserve_close() - free the reserve. Allocations that it served stay valid. */
void memory_reserve_close(void);

/** memory_reserve_malloc() - as malloc(); up to 1 KiB also without memory, while the reserve lasts. */
void *memory_reserve_malloc(size_t size);

/** memory_reserve_realloc() - as realloc(), likewise. */
void *memory_reserve_realloc(void *old, size_t size);

#endif
