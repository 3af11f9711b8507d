/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between the supported kernels, from 5.10 on. No other file depends on the kernel's
 * version.
 */
#ifndef DMACAST_COMPAT_H
#define DMACAST_COMPAT_H

#include <linux/device.h>
#include <linux/dmaengine.h>
#include <linux/highmem.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/platform_device.h>
#include <linux/sched/mm.h>
#include <linux/version.h>

/* The largest order that alloc_pages() takes. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
#define COMPAT_MAX_ORDER MAX_PAGE_ORDER
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define COMPAT_MAX_ORDER MAX_ORDER
#else
#define COMPAT_MAX_ORDER (MAX_ORDER - 1)
#endif

/* In 5.10 the flag of an accounted page shares memory with the map count of a mapped page. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
#define COMPAT_GFP_ACCOUNT __GFP_ACCOUNT
#define COMPAT_VM_WHOLE(refuse_to_split, refuse_part) .may_split = (refuse_to_split)
#else
#define COMPAT_GFP_ACCOUNT ((gfp_t)0)
/* In 5.10 mremap() does not call .split before it moves a part. */
#define COMPAT_VM_WHOLE(refuse_to_split, refuse_part) \
	.split = (refuse_to_split), .mremap = (refuse_part)
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
static inline void *kmap_local_page(struct page *page)
{
	return kmap_atomic(page);
}

#define kunmap_local(address) kunmap_atomic(address)

static inline struct device *dmaengine_get_dma_device(struct dma_chan *chan)
{
	return chan->device->dev;
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* Before 5.11 no page of a ring is charged to a memory cgroup: see COMPAT_GFP_ACCOUNT. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
#define compat_get_memcg() get_mem_cgroup_from_mm(current->mm)
#define compat_put_memcg(memcg) mem_cgroup_put(memcg)
#define compat_set_active_memcg(memcg) set_active_memcg(memcg)
#else
static inline struct mem_cgroup *compat_get_memcg(void)
{
	return NULL;
}

static inline void compat_put_memcg(struct mem_cgroup *memcg)
{
}

static inline struct mem_cgroup *compat_set_active_memcg(struct mem_cgroup *memcg)
{
	return NULL;
}
#endif

/**
 * compat_mapcount() - count the page table entries that map the @pages pages from @head on
 * @head: an order-0 page, or the head of a compound page
 * @pages: its number of pages
 *
 * Context: Any.
 * Return: the number of entries; before 6.10 a sum that other CPUs change meanwhile.
 */
static inline int compat_mapcount(struct page *head, unsigned int pages)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
	return folio_mapcount(page_folio(head));
#else
	int count = 0;

	for (unsigned int i = 0; i < pages; i++)
		count += atomic_read(&head[i]._mapcount) + 1;
	return count;
#endif
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define COMPAT_DEVNODE_CONST const
#else
#define COMPAT_DEVNODE_CONST
#endif

/* Initializer of a platform driver's .remove for a function that returns void. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
#define COMPAT_PLATFORM_REMOVE(function) .remove = (function)
#define COMPAT_DEFINE_PLATFORM_REMOVE(function)
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#define COMPAT_PLATFORM_REMOVE(function) .remove_new = (function)
#define COMPAT_DEFINE_PLATFORM_REMOVE(function)
#else
#define COMPAT_PLATFORM_REMOVE(function) .remove = (function ## _int)
#define COMPAT_DEFINE_PLATFORM_REMOVE(function)				\
	static int function ## _int(struct platform_device *pdev)	\
	{								\
		function(pdev);						\
		return 0;						\
	}
#endif

/* For TP_fast_assign(). */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define compat_assign_str(destination, source) __assign_str(destination)
#else
#define compat_assign_str(destination, source) __assign_str(destination, source)
#endif

#endif
