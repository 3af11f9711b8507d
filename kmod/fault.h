/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault points, for the tests: built with DMACAST_FAULT=y, the module parameter fail_nth makes the
 * n-th allocation, mapping or preparation of a transfer from then on fail, once, and held_pages
 * says how many pages all rings have together. Debian's kernels have no fault injection.
 */
#ifndef DMACAST_FAULT_H
#define DMACAST_FAULT_H

#include <linux/types.h>

#ifdef DMACAST_FAULT
/**
 * dmacast_fault() - count down to the failure that was asked for
 *
 * Context: Any.
 * Return: true if this call has to fail.
 */
bool dmacast_fault(void);

/**
 * dmacast_count_pages() - count the pages that rings hold
 * @pages: more pages, or fewer if negative
 *
 * Context: Any.
 */
void dmacast_count_pages(long pages);
#else
static inline bool dmacast_fault(void)
{
	return false;
}

static inline void dmacast_count_pages(long pages)
{
}
#endif

#endif
