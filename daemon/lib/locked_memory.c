// SPDX-License-Identifier: BSD-2-Clause
#include "lib/locked_memory.h"

#include <linux/capability.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

bool uid_map_is_complete(const char *line)
{
	unsigned long inside, outside, count;

	return sscanf(line, "%lu %lu %lu", &inside, &outside, &count) == 3 && !inside && !outside &&
	       count == UINT32_MAX;
}

static bool in_first_user_namespace(void)
{
	FILE *file = fopen("/proc/self/uid_map", "re");
	char line[128];
	bool first;

	if (!file)
		return true; /* no user namespaces */
	first = fgets(line, sizeof(line), file) && uid_map_is_complete(line);
	fclose(file);
	return first;
}

/* Return true for a process with CAP_IPC_LOCK in the first user namespace, which has no limit. */
static bool may_lock_everything(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data))
		return false;
	return (data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK)) &&
	       in_first_user_namespace();
}

uint64_t locked_memory_limit(void)
{
	struct rlimit limit;

	if (may_lock_everything() || getrlimit(RLIMIT_MEMLOCK, &limit) ||
	    limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}
