// SPDX-License-Identifier: BSD-2-Clause
#include "run.h"

#include <time.h>

struct run run = {
	.epoll = -1,
	.waiting = TAILQ_HEAD_INITIALIZER(run.waiting),
	.connecting = TAILQ_HEAD_INITIALIZER(run.connecting),
	.paused = TAILQ_HEAD_INITIALIZER(run.paused),
	.started_at = NEVER,
	.deadline = NEVER,
};

uint64_t run_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}
