/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault points, for the tests: built with DMACAST_FAULT=y, the module parameter fail_nth makes the
 * n-th allocation or mapping from then on fail, once. Debian's kernels have no fault injection.
 */
#ifndef DMACAST_FAULT_H
#define DMACAST_FAULT_H

#include <linux/types.h>

#ifdef DMACAST_FAULT
/** dmacast_fault() - is this call to fail? Any context. */
bool dmacast_fault(void);
#else
static inline bool dmacast_fault(void)
{
	return false;
}
#endif

#endif
