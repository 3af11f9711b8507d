// SPDX-License-Identifier: BSD-2-Clause
#include "lib/succession.h"

/* One for the process, as it has one predecessor. */
static struct succession succession_now;

const struct succession *succession(void)
{
	return &succession_now;
}

void succession_set(const struct succession *handover)
{
	succession_now = *handover;
}
