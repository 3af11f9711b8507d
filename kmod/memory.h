/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory of blocks: page-backed, zeroed, of as few physically contiguous runs as there are,
 * mapped for DMA from the device.
 *
 * A run is one compound page, so that the network merges it into one fragment; or, of a contiguous
 * block whose size is no power of two, order-0 pages whose unused rest was given back.
 */
#ifndef DMACAST_MEMORY_H
#define DMACAST_MEMORY_H

#include <linux/list.h>
#include <linux/scatterlist.h>
#include <linux/types.h>

struct device;
struct page;

/* What the DMA engine can take: the limits of a block. */
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
	struct list_head entry;		/* its holder's */
	struct sg_table sgt;
	unsigned int run_count;
	struct memory_run runs[];
};

/**
 * dmacast_memory_available() - estimate the memory that the machine can give without swapping
 *
 * Context: Any.
 * Return: bytes.
 */
u64 dmacast_memory_available(void);

/**
 * dmacast_memory_allocate() - allocate the memory of one block
 * @limits: limits of the DMA engine
 * @size: bytes, a multiple of the page size
 * @contiguous: in one run
 *
 * The pages are zeroed and mapped for DMA. The OOM killer is not woken.
 *
 * Context: May sleep.
 * Return: the memory; ERR_PTR(-ENOMEM); or ERR_PTR(-EINVAL) when the engine cannot take such a
 * block, and then the log says what to change.
 */
struct block_memory *dmacast_memory_allocate(const struct memory_limits *limits, size_t size,
					     bool contiguous);

/**
 * dmacast_memory_unmap() - end DMA to the memory; the pages stay
 * @memory: memory that may be unmapped already
 * @dma_device: the device that it was allocated for
 *
 * Context: May sleep.
 */
void dmacast_memory_unmap(struct block_memory *memory, struct device *dma_device);

/**
 * dmacast_memory_free() - drop the ring's references to the pages
 * @memory: memory after dmacast_memory_unmap(), or NULL
 *
 * Others who refer to a page keep it.
 *
 * Context: May sleep.
 */
void dmacast_memory_free(struct block_memory *memory);

/**
 * dmacast_memory_free_unused() - free those runs of pages that nobody else refers to
 * @memory: memory after dmacast_memory_unmap() that no page table maps
 *
 * Context: May sleep.
 * Return: bytes of the runs that are left.
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
 * The result is exact only if no page table entry was made meanwhile; see guard.c.
 *
 * Context: Any.
 * Return: true if page table entries account for all references but the ring's own.
 */
bool dmacast_memory_is_only_mapped(const struct block_memory *memory);

/**
 * dmacast_memory_is_unused() - see whether nobody else refers to the pages
 * @memory: memory that no page table maps, and none can
 *
 * Context: Any.
 * Return: true if the references are the ring's own.
 */
bool dmacast_memory_is_unused(const struct block_memory *memory);

#endif
