// SPDX-License-Identifier: GPL-2.0-only
#include "memory.h"

#include "compat.h"
#include "fault.h"

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>

/* Memory that the engine can reach without bouncing, where there is a zone for it. */
static gfp_t gfp_for(struct device *dma_device)
{
	gfp_t gfp = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN | COMPAT_GFP_ACCOUNT;
	u64 mask = dma_get_mask(dma_device);

	if (mask >= dma_get_required_mask(dma_device))
		return gfp | __GFP_HIGHMEM;
	if (IS_ENABLED(CONFIG_ZONE_DMA) && mask <= DMA_BIT_MASK(24))
		return gfp | GFP_DMA;
	if (IS_ENABLED(CONFIG_ZONE_DMA32) && mask <= DMA_BIT_MASK(32))
		return gfp | GFP_DMA32;
	return gfp;
}

static struct page *allocate_run(struct device *dma_device, gfp_t gfp, unsigned int order)
{
	if (dmacast_fault())
		return NULL;
	return alloc_pages_node(dev_to_node(dma_device), gfp, order);
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

/* The largest runs that fit, from the largest order downwards. Return: how many, or 0. */
static unsigned int allocate_scattered(struct memory_run *runs, struct device *dma_device,
				       unsigned int pages)
{
	unsigned int order = COMPAT_LARGEST_ORDER, count = 0;
	gfp_t gfp = gfp_for(dma_device);

	while (pages) {
		struct page *page;

		order = min_t(unsigned int, order, ilog2(pages));
		if (order)
			page = allocate_run(dma_device, gfp | __GFP_COMP | __GFP_NORETRY, order);
		else
			page = allocate_run(dma_device, gfp | __GFP_RETRY_MAYFAIL, 0);
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
 * From a run of 2^@order pages keep @pages, as pages of their own: a compound page cannot be cut.
 */
static void give_rest_back(struct page *page, unsigned int order, unsigned int pages)
{
	split_page(page, order);
	for (unsigned int i = pages; i < 1U << order; i++)
		__free_page(page + i);
}

/* One run of exactly so many pages. Return: 1, or 0. */
static unsigned int allocate_contiguous(struct memory_run *run, struct device *dma_device,
					unsigned int pages)
{
	unsigned int order = get_order((size_t)pages << PAGE_SHIFT);
	gfp_t gfp = gfp_for(dma_device) | __GFP_RETRY_MAYFAIL;

	*run = (struct memory_run){ .pages = pages };
	if (is_power_of_2(pages)) {
		run->compound = order > 0;
		run->page = allocate_run(dma_device, run->compound ? gfp | __GFP_COMP : gfp, order);
	} else {
		run->page = allocate_run(dma_device, gfp, order);
		if (run->page)
			give_rest_back(run->page, order, pages);
	}
	if (!run->page)
		return 0;
	dmacast_count_pages(pages);
	return 1;
}

static int allocate_runs(struct block_memory *memory, struct device *dma_device,
			 unsigned int pages, bool contiguous)
{
	struct memory_run *runs, *fitting;

	/* Enough for the worst case, for now. */
	runs = dmacast_fault() ? NULL : kvmalloc_array(pages, sizeof(*runs), GFP_KERNEL);
	if (!runs)
		return -ENOMEM;
	memory->run_count = contiguous ? allocate_contiguous(runs, dma_device, pages) :
					 allocate_scattered(runs, dma_device, pages);
	if (!memory->run_count) {
		kvfree(runs);
		return -ENOMEM;
	}
	fitting = dmacast_fault() ? NULL :
		  kvmalloc_array(memory->run_count, sizeof(*runs), GFP_KERNEL);
	if (fitting) {
		memcpy(fitting, runs, memory->run_count * sizeof(*runs));
	} else {
		for (unsigned int i = 0; i < memory->run_count; i++)
			put_run(&runs[i]);
		memory->run_count = 0;
	}
	kvfree(runs);
	memory->runs = fitting;
	return fitting ? 0 : -ENOMEM;
}

/* Runs that follow each other in memory are one stretch for the engine. */
static bool is_adjacent(const struct memory_run *run, const struct memory_run *next)
{
	return page_to_pfn(run->page) + run->pages == page_to_pfn(next->page);
}

/* Call @piece for each stretch of at most @most bytes. Return: how many. */
static unsigned int cut_pieces(const struct block_memory *memory, size_t most,
			       struct scatterlist *sg)
{
	unsigned int pieces = 0;

	for (unsigned int i = 0; i < memory->run_count;) {
		unsigned long pfn = page_to_pfn(memory->runs[i].page);
		size_t length = 0;

		do {
			length += (size_t)memory->runs[i++].pages << PAGE_SHIFT;
		} while (i < memory->run_count &&
			 is_adjacent(&memory->runs[i - 1], &memory->runs[i]));
		while (length) {
			size_t piece = min(length, most);

			if (sg) {
				sg_set_page(sg, pfn_to_page(pfn), piece, 0);
				sg = sg_next(sg);
			}
			pfn += piece >> PAGE_SHIFT;
			length -= piece;
			pieces++;
		}
	}
	return pieces;
}

static int map_for_dma(struct block_memory *memory, const struct memory_limits *limits)
{
	size_t most = max_t(size_t, round_down(limits->max_segment_size, PAGE_SIZE), PAGE_SIZE);
	unsigned int pieces = cut_pieces(memory, most, NULL);
	int error;

	error = dmacast_fault() ? -ENOMEM : sg_alloc_table(&memory->sgt, pieces, GFP_KERNEL);
	if (error)
		return error;
	cut_pieces(memory, most, memory->sgt.sgl);
	error = dmacast_fault() ? -ENOMEM :
		dma_map_sgtable(limits->dma_device, &memory->sgt, DMA_FROM_DEVICE, 0);
	if (error) {
		sg_free_table(&memory->sgt);
		memset(&memory->sgt, 0, sizeof(memory->sgt));
		return error == -EINVAL ? -ENOMEM : error;
	}
	return 0;
}

int memory_allocate(struct block_memory *memory, const struct memory_limits *limits, size_t size,
		    bool contiguous)
{
	int error;

	memset(memory, 0, sizeof(*memory));
	error = allocate_runs(memory, limits->dma_device, size >> PAGE_SHIFT, contiguous);
	if (error)
		return error;
	error = map_for_dma(memory, limits);
	if (!error && limits->max_segments && memory->sgt.nents > limits->max_segments) {
		dev_notice_ratelimited(limits->dma_device,
				       "dmacast: a block of %zu bytes is in %u pieces, and the DMA engine takes %u of at most %u bytes: ask for smaller blocks, or for contiguous ones\n",
				       size, memory->sgt.nents, limits->max_segments,
				       limits->max_segment_size);
		error = -EINVAL;
	}
	if (error) {
		memory_unmap(memory, limits->dma_device);
		memory_free(memory);
	}
	return error;
}

void memory_unmap(struct block_memory *memory, struct device *dma_device)
{
	if (!memory->sgt.sgl)
		return;
	dma_unmap_sgtable(dma_device, &memory->sgt, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	sg_free_table(&memory->sgt);
	memset(&memory->sgt, 0, sizeof(memory->sgt));
}

void memory_free(struct block_memory *memory)
{
	for (unsigned int i = 0; i < memory->run_count; i++)
		put_run(&memory->runs[i]);
	kvfree(memory->runs);
	memory->runs = NULL;
	memory->run_count = 0;
}

/*
 * One reference is the ring's, one each is of a page table entry. Any other may be a socket's. The
 * references are read before the map count and, because a page may be mapped or unmapped
 * meanwhile, once more after it.
 */
static bool pages_are_idle(struct page *head, unsigned int pages)
{
	int references = page_ref_count(head), mapped;

	/* References first: a page table entry has its reference before it is counted ... */
	smp_rmb();
	mapped = compat_mapcount(head, pages);
	/* ... and loses it after. */
	smp_rmb();
	return references - mapped == 1 && page_ref_count(head) == references;
}

bool memory_is_idle(const struct block_memory *memory)
{
	for (unsigned int i = 0; i < memory->run_count; i++) {
		const struct memory_run *run = &memory->runs[i];

		if (run->compound) {
			if (!pages_are_idle(run->page, run->pages))
				return false;
			continue;
		}
		for (unsigned int j = 0; j < run->pages; j++) {
			if (!pages_are_idle(run->page + j, 1))
				return false;
		}
	}
	/* What readers of these pages did is before the DMA that is started now. */
	smp_mb();
	return true;
}
