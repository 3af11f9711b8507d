/* SPDX-License-Identifier: BSD-2-Clause */
/* How much memory this process may have locked: the kernel counts what is pinned for it, too. */
#ifndef DMACAST_LOCKED_MEMORY_H
#define DMACAST_LOCKED_MEMORY_H

#include <stdint.h>

/** locked_memory_limit() - in bytes; UINT64_MAX: there is no limit. */
uint64_t locked_memory_limit(void);

#endif
