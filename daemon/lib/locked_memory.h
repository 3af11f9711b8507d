/* SPDX-License-Identifier: BSD-2-Clause */
/* The limit of locked memory, to which the kernel also counts what is pinned for zero-copy sends. */
#ifndef DMACAST_LOCKED_MEMORY_H
#define DMACAST_LOCKED_MEMORY_H

#include <stdint.h>

/** locked_memory_limit() - return it in bytes; UINT64_MAX: there is no limit. */
uint64_t locked_memory_limit(void);

#endif
