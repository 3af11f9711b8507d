/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that this builds on, and nowhere else.
 */
#ifndef DMACAST_COMPAT_H
#define DMACAST_COMPAT_H

#include <linux/version.h>

/* For dmacast_sim.ko. */
#include <linux/highmem.h>
#include <linux/platform_device.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
static inline void *kmap_local_page(struct page *page)
{
	return kmap_atomic(page);
}

#define kunmap_local(address) kunmap_atomic(address)
#endif

/*
 * DMACAST_DEFINE_REMOVE() - define @name, for platform_driver.remove, out of @function, which returns
 * nothing, as .remove itself does since 6.11.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
#define DMACAST_DEFINE_REMOVE(name, function)		\
static int name(struct platform_device *pdev)		\
{							\
	function(pdev);					\
	return 0;					\
}
#else
#define DMACAST_DEFINE_REMOVE(name, function)		\
static void name(struct platform_device *pdev)		\
{							\
	function(pdev);					\
}
#endif

#endif
