/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits of a process: locked memory and descriptors, of the daemon or of the shell that will start it. */
#ifndef DMACAST_DOCTOR_PROCESS_H
#define DMACAST_DOCTOR_PROCESS_H

#include "ctl/doctor_context.h"

/** doctor_check_process() - compare the limits with the clients that may come. */
void doctor_check_process(const struct doctor *doctor);

#endif
