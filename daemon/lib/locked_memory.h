/* SPDX-License-Identifier: BSD-2-Clause */
/* The limit of locked memory, to which the kernel also counts what is pinned for zero-copy sends. */
#ifndef DMACAST_LOCKED_MEMORY_H
#define DMACAST_LOCKED_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/** locked_memory_limit() - return it in bytes; UINT64_MAX: there is no limit. */
uint64_t locked_memory_limit(void);

/**
 * uid_map_is_complete() - return true if @line, the first of a process's uid_map, maps all users to themselves: only the
 * first user namespace does, and only there CAP_IPC_LOCK lifts the limit.
 */
bool uid_map_is_complete(const char *line);

#endif
