/* SPDX-License-Identifier: BSD-2-Clause */
/* What the running daemon reports of its streams: copies, losses, a ring or sockets that are nearly full. */
#ifndef DMACAST_DOCTOR_STREAMS_H
#define DMACAST_DOCTOR_STREAMS_H

#include "ctl/doctor_context.h"

/** doctor_check_streams() - look at the counters of each stream. */
void doctor_check_streams(const struct doctor *doctor);

#endif
