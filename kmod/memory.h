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

#include <linux/scatterlist.h>
#include <linux/types.h>

struct device;
struct page;

/* What the DMA engine can take: the limits of a block. */
struct memory_limits {
	struct device *dma_device;
	unsigned int max_segments;	/* 0: any number */
	unsigned int max_segment_size;	/* bytes */
};

struct memory_run {
	struct page *page;
	unsigned int pages;
	bool compound;
};

struct block_memory {
	struct memory_run *runs;
	unsigned int run_count;
	struct sg_table sgt;
};

/**
 * memory_allocate() - the memory of one block
 * @memory: out
 * @limits: of the engine
 * @size: bytes, a multiple of the page size
 * @contiguous: in one run
 *
 * Context: may sleep. Does not wake the OOM killer.
 * Return: 0, -ENOMEM, or -EINVAL when the engine cannot take such a block; the log says what to
 * change.
 */
int memory_allocate(struct block_memory *memory, const struct memory_limits *limits, size_t size,
		    bool contiguous);

/** memory_unmap() - end DMA to it; the pages stay. May be repeated. Context: may sleep. */
void memory_unmap(struct block_memory *memory, struct device *dma_device);

/** memory_free() - drop its references to the pages; others keep theirs. After memory_unmap(). */
void memory_free(struct block_memory *memory);

/**
 * memory_is_idle() - does nothing refer to the pages but this ring and page tables?
 *
 * False now and then although it is: ask again later. Never true although it is not. Any context.
 */
bool memory_is_idle(const struct block_memory *memory);

#endif
