// SPDX-License-Identifier: GPL-2.0-only
#include "memory.h"

#include "compat.h"
#include "fault.h"

#include <linux/device.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>

/* Return the highest address that the device can reach; its bus may limit it further. */
static u64 highest_dma_address(struct device *dma_device)
{
	return min_not_zero(dma_get_mask(dma_device), dma_device->bus_dma_limit);
}

static gfp_t dma_zone_for(u64 highest)
{
	if (IS_ENABLED(CONFIG_ZONE_DMA) && highest <= DMA_BIT_MASK(24))
		return GFP_DMA;
	if (IS_ENABLED(CONFIG_ZONE_DMA32) && highest <= DMA_BIT_MASK(32))
		return GFP_DMA32;
	return 0;
}

/* Return the next smaller zone, or the same one if there is none. */
static gfp_t smaller_dma_zone(gfp_t zone)
{
	if (IS_ENABLED(CONFIG_ZONE_DMA32) && !zone)
		return GFP_DMA32;
	return IS_ENABLED(CONFIG_ZONE_DMA) ? GFP_DMA : zone;
}

static bool is_dma_reachable(struct device *dma_device, const struct page *page, unsigned int order)
{
	dma_addr_t address = phys_to_dma(dma_device, page_to_phys(page));

	return address + (PAGE_SIZE << order) - 1 <= highest_dma_address(dma_device);
}

static struct page *allocate_in_zone(struct device *dma_device, gfp_t gfp, unsigned int order)
{
	if (dmacast_fault())
		return NULL;
	return alloc_pages_node(dev_to_node(dma_device), gfp, order);
}

/*
 * Allocate a run that the device reaches without bounce buffers, if the machine has such memory.
 * With an IOMMU all memory is reachable; dma_get_required_mask() then needs at most 32 bits.
 */
static struct page *allocate_run(struct device *dma_device, gfp_t flags, unsigned int order)
{
	gfp_t gfp = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN | COMPAT_GFP_ACCOUNT | flags;
	u64 highest = highest_dma_address(dma_device);
	gfp_t zone = dma_zone_for(highest), next;
	struct page *page, *better;

	if (highest >= dma_get_required_mask(dma_device))
		return allocate_in_zone(dma_device, gfp | __GFP_HIGHMEM, order);
	page = allocate_in_zone(dma_device, gfp | zone, order);
	while (page && !is_dma_reachable(dma_device, page, order)) {
		next = smaller_dma_zone(zone);
		if (next == zone)
			break;
		zone = next;
		better = allocate_in_zone(dma_device, gfp | zone, order);
		if (!better)
			break;
		__free_pages(page, order);
		page = better;
	}
	return page;
}

static void put_run(const struct memory_run *run)
{
	dmacast_count_pages(-(long)run->pages);
	if (run->compound) {
		put_page(run->page);
		return;
	}
	for (unsigned int i = 0; i < run->pages; i++)
		put_page(run->page + i);
}

/* Return true if page table entries account for all references except one; see guard.c. */
static bool pages_are_only_mapped(struct page *head, unsigned int pages)
{
	int references = page_ref_count(head);

	/* References first: an entry keeps its reference longer than it is counted. */
	smp_rmb();
	return references - compat_mapcount(head, pages) == 1;
}

static bool pages_are_unused(struct page *head, unsigned int pages)
{
	return page_ref_count(head) == 1;
}

/* Return true if @test is true for each part of the run that has its own reference count. */
static bool run_is(const struct memory_run *run,
		   bool (*test)(struct page *head, unsigned int pages))
{
	if (run->compound)
		return test(run->page, run->pages);
	for (unsigned int i = 0; i < run->pages; i++) {
		if (!test(run->page + i, 1))
			return false;
	}
	return true;
}

static bool run_is_unused(const struct memory_run *run)
{
	return run_is(run, pages_are_unused);
}

/* Allocate the largest runs that fit, in descending order. Return: number of runs, or 0. */
static unsigned int allocate_scattered(struct memory_run *runs, struct device *dma_device,
				       unsigned int pages)
{
	unsigned int order = COMPAT_MAX_ORDER, count = 0;

	while (pages) {
		struct page *page;

		order = min_t(unsigned int, order, ilog2(pages));
		if (order)
			page = allocate_run(dma_device, __GFP_COMP | __GFP_NORETRY, order);
		else
			page = allocate_run(dma_device, __GFP_RETRY_MAYFAIL, 0);
		if (page) {
			runs[count++] = (struct memory_run){
				.page = page,
				.pages = 1U << order,
				.compound = order > 0,
			};
			dmacast_count_pages(1L << order);
			pages -= 1U << order;
		} else if (order) {
			order--;
		} else {
			break;
		}
	}
	if (!pages)
		return count;
	while (count--)
		put_run(&runs[count]);
	return 0;
}

/*
 * Keep the first @pages of 2^@order pages and free the rest. They become order-0 pages, because a
 * compound page cannot be split.
 */
static void trim_run(struct page *page, unsigned int order, unsigned int pages)
{
	split_page(page, order);
	for (unsigned int i = pages; i < 1U << order; i++)
		__free_page(page + i);
}

/* Allocate one run of exactly @pages pages. Return: 1, or 0. */
static unsigned int allocate_contiguous(struct memory_run *run, struct device *dma_device,
					unsigned int pages)
{
	unsigned int order = get_order((size_t)pages << PAGE_SHIFT);
	gfp_t flags = __GFP_RETRY_MAYFAIL;

	*run = (struct memory_run){ .pages = pages };
	if (is_power_of_2(pages)) {
		run->compound = order > 0;
		flags |= run->compound ? __GFP_COMP : 0;
		run->page = allocate_run(dma_device, flags, order);
	} else {
		run->page = allocate_run(dma_device, flags, order);
		if (run->page)
			trim_run(run->page, order, pages);
	}
	if (!run->page)
		return 0;
	dmacast_count_pages(pages);
	return 1;
}

static struct block_memory *allocate_runs(struct device *dma_device, unsigned int pages,
					  bool contiguous)
{
	struct block_memory *memory;
	struct memory_run *runs;
	unsigned int count;

	/* Temporary, for the worst case: each page is a run. */
	runs = dmacast_fault() ? NULL : kvmalloc_array(pages, sizeof(*runs), GFP_KERNEL);
	if (!runs)
		return NULL;
	count = contiguous ? allocate_contiguous(runs, dma_device, pages) :
			     allocate_scattered(runs, dma_device, pages);
	memory = count && !dmacast_fault() ?
		 kvzalloc(struct_size(memory, runs, count), GFP_KERNEL) : NULL;
	if (memory) {
		INIT_LIST_HEAD(&memory->entry);
		memory->run_count = count;
		memcpy(memory->runs, runs, count * sizeof(*runs));
	} else {
		while (count--)
			put_run(&runs[count]);
	}
	kvfree(runs);
	return memory;
}

/* Return true if @next follows @run in memory; the engine then takes both as one. */
static bool run_is_adjacent(const struct memory_run *run, const struct memory_run *next)
{
	return page_to_pfn(run->page) + run->pages == page_to_pfn(next->page);
}

/* Return the largest size of a segment in bytes: whole pages, or a power of two below a page. */
static size_t memory_segment_size(const struct memory_limits *limits)
{
	size_t most = max(limits->max_segment_size, 1U);

	return most >= PAGE_SIZE ? round_down(most, PAGE_SIZE) : rounddown_pow_of_two(most);
}

/* Return the bytes of the segment that begins at @start, at most @length. */
static size_t memory_cut_segment(const struct memory_limits *limits, phys_addr_t start,
				 size_t length)
{
	unsigned long before_boundary = limits->segment_boundary -
					((unsigned long)start & limits->segment_boundary);

	length = min(length, memory_segment_size(limits));
	return length - 1 > before_boundary ? before_boundary + 1 : length;
}

/* Cut the memory into segments, and fill in @sg if it is not NULL. Return their number. */
static unsigned int memory_cut_segments(const struct block_memory *memory,
					const struct memory_limits *limits, struct scatterlist *sg)
{
	unsigned int pieces = 0;

	for (unsigned int i = 0; i < memory->run_count;) {
		phys_addr_t start = page_to_phys(memory->runs[i].page);
		size_t length = 0;

		do {
			length += (size_t)memory->runs[i++].pages << PAGE_SHIFT;
		} while (i < memory->run_count &&
			 run_is_adjacent(&memory->runs[i - 1], &memory->runs[i]));
		while (length) {
			size_t piece = memory_cut_segment(limits, start, length);

			if (sg) {
				sg_set_page(sg, pfn_to_page(PHYS_PFN(start)), piece,
					    offset_in_page(start));
				sg = sg_next(sg);
			}
			start += piece;
			length -= piece;
			pieces++;
		}
	}
	return pieces;
}

/*
 * Map the memory for DMA. DMA_BIDIRECTIONAL, because mapping for DMA_FROM_DEVICE may merely
 * invalidate the caches, as on 32-bit ARM and before 5.19 on arm64. Zeroes still in the cache would
 * be lost, and the owner would see the former content of the memory. Later syncs are
 * DMA_FROM_DEVICE: the CPU does not write.
 */
static int memory_map(struct block_memory *memory, const struct memory_limits *limits)
{
	unsigned int pieces = memory_cut_segments(memory, limits, NULL);
	int error;

	error = dmacast_fault() ? -ENOMEM : sg_alloc_table(&memory->sgt, pieces, GFP_KERNEL);
	if (error)
		return error;
	memory_cut_segments(memory, limits, memory->sgt.sgl);
	error = dmacast_fault() ? -ENOMEM :
		dma_map_sgtable(limits->dma_device, &memory->sgt, DMA_BIDIRECTIONAL, 0);
	if (error) {
		sg_free_table(&memory->sgt);
		memset(&memory->sgt, 0, sizeof(memory->sgt));
		return error == -EINVAL ? -ENOMEM : error;
	}
	return 0;
}

u64 dmacast_memory_available(void)
{
	return (u64)si_mem_available() << PAGE_SHIFT;
}

struct block_memory *dmacast_memory_allocate(const struct memory_limits *limits, size_t size,
					     bool contiguous)
{
	struct block_memory *memory;
	int error;

	memory = allocate_runs(limits->dma_device, size >> PAGE_SHIFT, contiguous);
	if (!memory)
		return ERR_PTR(-ENOMEM);
	error = memory_map(memory, limits);
	if (!error && limits->max_segments && memory->sgt.nents > limits->max_segments) {
		dev_notice_ratelimited(limits->dma_device,
				       "dmacast: a block of %zu bytes is in %u pieces, and the DMA engine takes at most %u of up to %u bytes; use smaller or contiguous blocks\n",
				       size, memory->sgt.nents, limits->max_segments,
				       limits->max_segment_size);
		error = -EINVAL;
	}
	if (error) {
		dmacast_memory_unmap(memory, limits->dma_device);
		dmacast_memory_free(memory);
		return ERR_PTR(error);
	}
	return memory;
}

void dmacast_memory_unmap(struct block_memory *memory, struct device *dma_device)
{
	if (!memory->sgt.sgl)
		return;
	dma_unmap_sgtable(dma_device, &memory->sgt, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	sg_free_table(&memory->sgt);
	memset(&memory->sgt, 0, sizeof(memory->sgt));
}

void dmacast_memory_free(struct block_memory *memory)
{
	if (!memory)
		return;
	for (unsigned int i = 0; i < memory->run_count; i++)
		put_run(&memory->runs[i]);
	kvfree(memory);
}

size_t dmacast_memory_free_unused(struct block_memory *memory)
{
	unsigned int i = 0;

	while (i < memory->run_count) {
		if (!run_is_unused(&memory->runs[i])) {
			i++;
			continue;
		}
		put_run(&memory->runs[i]);
		memory->runs[i] = memory->runs[--memory->run_count];
	}
	return (size_t)dmacast_memory_pages(memory) << PAGE_SHIFT;
}

unsigned int dmacast_memory_pages(const struct block_memory *memory)
{
	unsigned int pages = 0;

	for (unsigned int i = 0; i < memory->run_count; i++)
		pages += memory->runs[i].pages;
	return pages;
}

bool dmacast_memory_is_only_mapped(const struct block_memory *memory)
{
	for (unsigned int i = 0; i < memory->run_count; i++) {
		if (!run_is(&memory->runs[i], pages_are_only_mapped))
			return false;
	}
	/* Reads of these pages by former users come before the DMA that starts now. */
	smp_mb();
	return true;
}

bool dmacast_memory_is_unused(const struct block_memory *memory)
{
	for (unsigned int i = 0; i < memory->run_count; i++) {
		if (!run_is_unused(&memory->runs[i]))
			return false;
	}
	/* As in dmacast_memory_is_only_mapped(). */
	smp_mb();
	return true;
}
