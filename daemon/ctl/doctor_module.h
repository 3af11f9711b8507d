/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters of the kernel module dmacast.ko, in /sys/class/dmacast. */
#ifndef DMACAST_DOCTOR_MODULE_H
#define DMACAST_DOCTOR_MODULE_H

#include "ctl/doctor_context.h"

/** doctor_check_module() - look for overruns, failed transfers, and blocks that came back too early. */
void doctor_check_module(const struct doctor *doctor);

#endif
