/* SPDX-License-Identifier: BSD-2-Clause */
/* Processors on which the interrupts of the interfaces and the daemon run. */
#ifndef DMACAST_DOCTOR_IRQ_H
#define DMACAST_DOCTOR_IRQ_H

#include "ctl/doctor_context.h"

/** doctor_check_irqs() - look if the daemon is bound to processors that also handle the interrupts. */
void doctor_check_irqs(const struct doctor *doctor);

#endif
