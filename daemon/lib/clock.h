/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DMACAST_CLOCK_H
#define DMACAST_CLOCK_H

#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/** clock_ns() - return the time of @clock in nanoseconds. */
static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/** clock_monotonic_ns() - return the monotonic time in nanoseconds. */
static inline uint64_t clock_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/** clock_timeval() - return a time span as libevent takes it. */
static inline struct timeval clock_timeval(uint64_t microseconds)
{
	return (struct timeval){
		.tv_sec = (time_t)(microseconds / 1000000),
		.tv_usec = (suseconds_t)(microseconds % 1000000),
	};
}

/** clock_timeval_us() - return such a time span in microseconds. */
static inline uint64_t clock_timeval_us(const struct timeval *span)
{
	return (uint64_t)span->tv_sec * 1000000U + (uint64_t)span->tv_usec;
}

#endif
