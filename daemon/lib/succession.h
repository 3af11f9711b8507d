/* SPDX-License-Identifier: BSD-2-Clause */
/* The handovers that led to this process, for those who watch it. */
#ifndef DMACAST_SUCCESSION_H
#define DMACAST_SUCCESSION_H

#include <stdint.h>

struct succession {
	uint64_t handovers; /* since the first of these processes started */
	/* Of the last one; 0 without one. */
	uint64_t streams, clients;
	uint64_t pause_ns; /* time in which nothing was sent */
};

/** succession() - return what is known; without a predecessor all is 0. */
const struct succession *succession(void);

/** succession_set() - remember a handover to this process. */
void succession_set(const struct succession *handover);

#endif
