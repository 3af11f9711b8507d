/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of what happens where memory may not be locked, also as root. */
#ifndef DMACAST_TEST_LOCKLIMIT_H
#define DMACAST_TEST_LOCKLIMIT_H

#include <err.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline void set_lock_capability(bool on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct __user_cap_data_struct *set = &data[CAP_TO_INDEX(CAP_IPC_LOCK)];

	if (syscall(SYS_capget, &header, data))
		err(1, "capget");
	if (on)
		set->effective |= set->permitted & CAP_TO_MASK(CAP_IPC_LOCK);
	else
		set->effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	if (syscall(SYS_capset, &header, data))
		err(1, "capset");
}

static inline void set_locked_memory(rlim_t bytes)
{
	struct rlimit limit;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		err(1, "RLIMIT_MEMLOCK");
}

/* allow_locking() - from now on no more than @bytes may be locked; or with @allow as much as before. */
static inline void allow_locking(bool allow, rlim_t bytes)
{
	static struct rlimit before;

	if (!allow)
		getrlimit(RLIMIT_MEMLOCK, &before);
	set_lock_capability(allow);
	set_locked_memory(allow ? before.rlim_cur : bytes);
}

#endif
