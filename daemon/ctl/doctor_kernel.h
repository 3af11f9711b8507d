/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings of the kernel that zero-copy depends on: TCP, option memory, huge pages. */
#ifndef DMACAST_DOCTOR_KERNEL_H
#define DMACAST_DOCTOR_KERNEL_H

#include "ctl/doctor_context.h"

/** doctor_check_kernel() - look at the version, sysctl settings and huge pages. */
void doctor_check_kernel(const struct doctor *doctor);

#endif
