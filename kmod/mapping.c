// SPDX-License-Identifier: GPL-2.0-only
#include "mapping.h"

#include "channel_state.h"
#include "compat.h"
#include "fault.h"
#include "memory.h"

#include <linux/fs.h>
#include <linux/mm.h>

void dmacast_mappings_init(struct ring_mappings *mappings)
{
	mutex_init(&mappings->lock);
	spin_lock_init(&mappings->watch_lock);
}

void dmacast_mappings_destroy(struct ring_mappings *mappings)
{
	mutex_destroy(&mappings->lock);
}

bool dmacast_mappings_exist(struct ring_mappings *mappings)
{
	return READ_ONCE(mappings->count);
}

/* ---- watching ---- */

static void mapping_watch(struct ring_mappings *mappings, struct vm_area_struct *vma)
{
	unsigned long flags;

	spin_lock_irqsave(&mappings->watch_lock, flags);
	WRITE_ONCE(mappings->count, mappings->count + 1);
	for (unsigned int i = 0; i < MAX_WATCHED_MAPPINGS; i++) {
		if (!mappings->watched[i]) {
			mappings->watched[i] = vma;
			break;
		}
	}
	spin_unlock_irqrestore(&mappings->watch_lock, flags);
}

static void mapping_unwatch(struct ring_mappings *mappings, struct vm_area_struct *vma)
{
	unsigned long flags;

	spin_lock_irqsave(&mappings->watch_lock, flags);
	WRITE_ONCE(mappings->count, mappings->count - 1);
	for (unsigned int i = 0; i < MAX_WATCHED_MAPPINGS; i++) {
		if (mappings->watched[i] == vma)
			mappings->watched[i] = NULL;
	}
	spin_unlock_irqrestore(&mappings->watch_lock, flags);
}

/* Return true if fork() copies no mapping now: all are watched and have VM_DONTCOPY. */
static bool mappings_cannot_be_copied(struct ring_mappings *mappings)
{
	unsigned int not_copied = 0;
	unsigned long flags;
	bool all;

	spin_lock_irqsave(&mappings->watch_lock, flags);
	for (unsigned int i = 0; i < MAX_WATCHED_MAPPINGS; i++) {
		const struct vm_area_struct *vma = mappings->watched[i];

		not_copied += vma && (READ_ONCE(vma->vm_flags) & VM_DONTCOPY);
	}
	all = not_copied == mappings->count;
	spin_unlock_irqrestore(&mappings->watch_lock, flags);
	return all;
}

/*
 * A fork() that is copying entries when the look begins or ends shows in the flags of the mapping
 * that it copies: it holds the mmap_lock for writing, so the flags cannot change. A fork() that
 * begins and ends between the two has changed the number of copies.
 */
bool dmacast_mappings_begin_look(struct channel *channel, const struct ring_block *block,
				 struct mapping_look *look)
{
	bool is_quiet;

	/* Pairs with mapping_copied(), and keeps the order of these reads. */
	look->copies = smp_load_acquire(&channel->mappings.copies);
	/* Pairs with mapping_end_insertion(). */
	look->insertions = smp_load_acquire(&block->insertions);
	is_quiet = !(look->insertions % 2) && mappings_cannot_be_copied(&channel->mappings);
	/* The caller reads references after this. */
	smp_rmb();
	return is_quiet;
}

bool dmacast_mappings_end_look(struct channel *channel, const struct ring_block *block,
			       const struct mapping_look *look)
{
	/* The caller counted entries before this. */
	smp_rmb();
	if (READ_ONCE(block->insertions) != look->insertions ||
	    !mappings_cannot_be_copied(&channel->mappings))
		return false;
	/* A mapping that was copyable only for the time of a fork() has counted its copy. */
	smp_rmb();
	return READ_ONCE(channel->mappings.copies) == look->copies;
}

/* Under the mappings' lock. */
static void mapping_begin_insertion(struct ring_block *block)
{
	WRITE_ONCE(block->insertions, block->insertions + 1);
	/* A look that counts an entry of this insertion also sees that it began. */
	smp_wmb();
}

static void mapping_end_insertion(struct ring_block *block)
{
	/* A look that sees the end also counts all entries and their references. */
	smp_store_release(&block->insertions, block->insertions + 1);
}

void dmacast_mappings_remove_block(struct channel *channel, const struct ring_block *block)
{
	size_t size = channel->ring->block_size;

	lockdep_assert_held(&channel->mappings.lock);
	if (channel->mappings.file)
		unmap_mapping_range(channel->mappings.file, (loff_t)block->index * size, size, 1);
}

/* ---- the virtual memory area ---- */

/* Called when fork() or mremap() has copied a mapping. */
static void mapping_copied(struct vm_area_struct *vma)
{
	struct channel *channel = vma->vm_private_data;

	mutex_lock(&channel->mappings.lock);
	mapping_watch(&channel->mappings, vma);
	/* Pairs with dmacast_mappings_begin_look(). */
	smp_store_release(&channel->mappings.copies, channel->mappings.copies + 1);
	mutex_unlock(&channel->mappings.lock);
}

static void mapping_closed(struct vm_area_struct *vma)
{
	struct channel *channel = vma->vm_private_data;

	mapping_unwatch(&channel->mappings, vma);
}

/* Refuse partial munmap() and mremap(): pages of the ring may be replaced at any time (guard.c). */
static int mapping_refuse_split(struct vm_area_struct *vma, unsigned long address)
{
	return -EINVAL;
}

static int __maybe_unused mapping_refuse_part(struct vm_area_struct *moved)
{
	const struct channel *channel = moved->vm_private_data;
	const struct ring *ring = channel->ring;

	/* A ring is not freed while it is mapped. */
	if (moved->vm_end - moved->vm_start != dmacast_ring_size(ring))
		return -EINVAL;
	return 0;
}

static vm_fault_t mapping_insert_pages(struct vm_area_struct *vma,
				       const struct block_memory *memory, unsigned long address)
{
	for (unsigned int i = 0; i < memory->run_count; i++) {
		const struct memory_run *run = &memory->runs[i];

		for (unsigned int j = 0; j < run->pages; j++, address += PAGE_SIZE) {
			int error = dmacast_fault() ? -ENOMEM :
				    vm_insert_page(vma, address, run->page + j);

			/* -EBUSY: another thread mapped it, or only other pages were unmapped. */
			if (error && error != -EBUSY)
				return error == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
		}
	}
	return VM_FAULT_NOPAGE;
}

/* Map the whole block that was accessed: for the first time, or after it was unmapped. */
static vm_fault_t mapping_fault(struct vm_fault *vmf)
{
	struct channel *channel = vmf->vma->vm_private_data;
	vm_fault_t result = VM_FAULT_SIGBUS;
	struct ring_block *block;
	unsigned long number;
	struct ring *ring;

	mutex_lock(&channel->mappings.lock);
	ring = channel->ring;
	if (ring) {
		number = (vmf->pgoff << PAGE_SHIFT) / ring->block_size;
		if (number < ring->block_count) {
			block = &ring->block[number];
			mapping_begin_insertion(block);
			result = mapping_insert_pages(vmf->vma, block->memory,
						      vmf->vma->vm_start +
						      number * ring->block_size);
			mapping_end_insertion(block);
		}
	}
	mutex_unlock(&channel->mappings.lock);
	return result;
}

static const struct vm_operations_struct mapping_ops = {
	.open = mapping_copied,
	.close = mapping_closed,
	COMPAT_VM_WHOLE(mapping_refuse_split, mapping_refuse_part),
	.fault = mapping_fault,
};

int dmacast_mappings_add(struct channel *channel, struct vm_area_struct *vma)
{
	const struct ring *ring;
	int error = -EINVAL;

	mutex_lock(&channel->mappings.lock);
	ring = channel->ring;
	if (ring && !vma->vm_pgoff &&
	    vma->vm_end - vma->vm_start == dmacast_ring_size(ring)) {
		vm_flags_clear(vma, VM_MAYWRITE | VM_MAYEXEC);
		vm_flags_set(vma, VM_MIXEDMAP | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
		vma->vm_private_data = channel;
		vma->vm_ops = &mapping_ops;
		mapping_watch(&channel->mappings, vma);
		error = 0;
	}
	mutex_unlock(&channel->mappings.lock);
	return error;
}
