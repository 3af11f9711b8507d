// SPDX-License-Identifier: BSD-2-Clause
#include "lib/descriptors.h"

#include <sys/resource.h>

#define RESERVE_DIVISOR 4U

/* Return: the soft limit; without one, a number that no descriptor reaches. */
static uint64_t descriptors_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

static uint64_t reserve_of(uint64_t limit)
{
	uint64_t share = limit / RESERVE_DIVISOR;

	return share < MAX_DESCRIPTOR_RESERVE ? share : MAX_DESCRIPTOR_RESERVE;
}

uint64_t descriptors_reserve(void)
{
	return reserve_of(descriptors_limit());
}

bool descriptors_is_reserved(int fd)
{
	uint64_t limit = descriptors_limit();

	return (uint64_t)fd >= limit - reserve_of(limit);
}
