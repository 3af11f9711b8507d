/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault points for the tests, if built with DMACAST_FAULT=y. The module parameter fail_nth makes
 * the n-th following allocation, mapping or preparation of a transfer fail, once. held_pages shows
 * the number of pages of all rings. Debian's kernels have no fault injection.
 */
#ifndef DMACAST_FAULT_H
#define DMACAST_FAULT_H

#include <linux/types.h>

#ifdef DMACAST_FAULT
/**
 * dmacast_fault() - count down to the requested failure
 *
 * Context: Any.
 * Return: true if this call has to fail.
 */
bool dmacast_fault(void);

/**
 * dmacast_count_pages() - count the pages that rings hold
 * @pages: change in the number of pages
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
