/* SPDX-License-Identifier: BSD-2-Clause */
/* A process that gets no memory from the kernel any more. */
#ifndef ADDRESSLIMIT_H
#define ADDRESSLIMIT_H

#include "tap.h"

#include <stdbool.h>
#include <sys/resource.h>

/* Return true if malloc() is not that of the C library, and the limit would end the process. */
static inline bool addresslimit_ends_process(void)
{
#ifdef __SANITIZE_ADDRESS__
	return true;
#else
	return tap_under_valgrind();
#endif
}

/* Allow no new mapping. Return: the limit before, for addresslimit_allow(). */
static inline struct rlimit addresslimit_forbid(void)
{
	struct rlimit before, none;

	getrlimit(RLIMIT_AS, &before);
	none = before;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_AS, &none);
	return before;
}

static inline void addresslimit_allow(const struct rlimit *before)
{
	setrlimit(RLIMIT_AS, before);
}

#endif
