/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much memory this process can still get: from the machine, and from its memory cgroup and that one's
 * parents. A request for more does not fail: the kernel's OOM killer ends a process.
 */
#ifndef DMACAST_MEMORY_LIMIT_H
#define DMACAST_MEMORY_LIMIT_H

#include <stdint.h>

#define MEMORY_LIMIT_FILE 320

struct memory_limit {
	uint64_t available;	      /* bytes; UINT64_MAX: not known */
	uint64_t limit;		      /* bytes, together with what is in use; 0: of the machine */
	char file[MEMORY_LIMIT_FILE]; /* where the limit is set */
};

/**
 * memory_limit_find() - find the limit that leaves the least memory.
 * @group: a file such as /proc/self/cgroup; NULL: that file
 * @mount: where the cgroup file systems are mounted: /sys/fs/cgroup
 */
void memory_limit_find(struct memory_limit *limit, const char *group, const char *mount);

#endif
