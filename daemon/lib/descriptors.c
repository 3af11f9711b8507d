// SPDX-License-Identifier: BSD-2-Clause
#include "lib/descriptors.h"

#include "lib/process.h"

#define RESERVE_DIVISOR 4U

uint64_t descriptors_reserve_of(uint64_t limit)
{
	uint64_t share = limit / RESERVE_DIVISOR;

	return share < MAX_DESCRIPTOR_RESERVE ? share : MAX_DESCRIPTOR_RESERVE;
}

uint64_t descriptors_reserve(void)
{
	return descriptors_reserve_of(process_max_fds());
}

bool descriptors_is_reserved(int fd)
{
	uint64_t limit = process_max_fds();

	return (uint64_t)fd >= limit - descriptors_reserve_of(limit);
}
