/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that capture packets: the kernel copies each packet that they can see. */
#ifndef DMACAST_DOCTOR_CAPTURE_H
#define DMACAST_DOCTOR_CAPTURE_H

#include "ctl/doctor_context.h"

/** doctor_check_captures() - look for packet sockets that see what is sent. */
void doctor_check_captures(const struct doctor *doctor);

#endif
