/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory of blocks: zeroed pages, in as few physically contiguous runs as the machine can
 * provide, mapped for DMA from the device.
 *
 * A run is one compound page, so that the network merges it into one fragment. In a contiguous
 * block whose size is not a power of two it consists of order-0 pages; the unused rest of the
 * allocation is freed.
 */
#ifndef DMACAST_MEMORY_H
#define DMACAST_MEMORY_H

#include <linux/list.h>
#include <linux/scatterlist.h>
#include <linux/types.h>

struct device;
struct page;

/* Limits of the DMA engine for one block. */
struct memory_limits {
	struct device *dma_device;
	unsigned int max_segments;	/* 0: any number */
	unsigned int max_segment_size;	/* bytes */
	unsigned long segment_boundary;	/* mask: no segment crosses a multiple of it plus 1 */
};

struct memory_run {
	struct page *page;
	unsigned int pages;
	bool compound;
};

struct block_memory {
	struct list_head entry;		/* for the holder's list */
	struct sg_table sgt;
	unsigned int run_count;
	struct memory_run runs[];
};

/**
 * dmacast_memory_available() - estimate the memory that can be allocated without swapping
 *
 * Context: Any.
 * Return: bytes.
 */
u64 dmacast_memory_available(void);

/**
 * dmacast_memory_allocate() - allocate the memory of one block
 * @limits: limits of the DMA engine
 * @size: bytes, a multiple of the page size
 * @contiguous: allocate a single run
 *
 * The pages are zeroed and mapped for DMA. The OOM killer is not invoked.
 *
 * Context: May sleep.
 * Return: the memory; ERR_PTR(-ENOMEM); or ERR_PTR(-EINVAL) if the engine cannot take such a
 * block, in which case the log says what to change.
 */
struct block_memory *dmacast_memory_allocate(const struct memory_limits *limits, size_t size,
					     bool contiguous);

/**
 * dmacast_memory_unmap() - end DMA to the memory; the pages stay
 * @memory: memory that may be unmapped already
 * @dma_device: the device for which it was allocated
 *
 * Context: May sleep.
 */
void dmacast_memory_unmap(struct block_memory *memory, struct device *dma_device);

/**
 * dmacast_memory_free() - drop the ring's references to the pages
 * @memory: memory after dmacast_memory_unmap(), or NULL
 *
 * A page with other references stays until they are dropped.
 *
 * Context: May sleep.
 */
void dmacast_memory_free(struct block_memory *memory);

/**
 * dmacast_memory_free_unused() - free the runs of pages without other references
 * @memory: memory after dmacast_memory_unmap() that no page table maps
 *
 * Context: May sleep.
 * Return: bytes of the remaining runs.
 */
size_t dmacast_memory_free_unused(struct block_memory *memory);

/**
 * dmacast_memory_pages() - count the pages
 * @memory: the memory of a block
 *
 * Context: Any.
 * Return: the number of pages.
 */
unsigned int dmacast_memory_pages(const struct block_memory *memory);

/**
 * dmacast_memory_is_only_mapped() - compare references and page table entries
 * @memory: the memory of a block
 *
 * Exact only if no page table entry is made meanwhile; see guard.c.
 *
 * Context: Any.
 * Return: true if page table entries account for all references but the ring's own.
 */
bool dmacast_memory_is_only_mapped(const struct block_memory *memory);

/**
 * dmacast_memory_is_unused() - check that there are no other references
 * @memory: memory that no page table maps, and none can
 *
 * Context: Any.
 * Return: true if the ring's own references are the only ones.
 */
bool dmacast_memory_is_unused(const struct block_memory *memory);

#endif
