/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mappings of a ring in user space. Page faults fill them, a block at a time, and guard.c needs
 * to know when page table entries may have been made.
 */
#ifndef DMACAST_MAPPING_H
#define DMACAST_MAPPING_H

#include <linux/types.h>

struct channel;
struct ring_block;
struct ring_mappings;
struct vm_area_struct;

/* What dmacast_mappings_begin_look() saw, for dmacast_mappings_end_look(). */
struct mapping_look {
	unsigned int copies;
	unsigned int insertions;
};

/**
 * dmacast_mappings_init() - begin without a mapping
 * @mappings: zeroed memory
 *
 * Context: May sleep.
 */
void dmacast_mappings_init(struct ring_mappings *mappings);

/**
 * dmacast_mappings_destroy() - end
 * @mappings: without a mapping
 *
 * Context: May sleep.
 */
void dmacast_mappings_destroy(struct ring_mappings *mappings);

/**
 * dmacast_mappings_exist() - see whether the ring is mapped
 * @mappings: the mappings of a ring
 *
 * Context: Any.
 * Return: true if there is a mapping.
 */
bool dmacast_mappings_exist(struct ring_mappings *mappings);

/**
 * dmacast_mappings_add() - map the ring of a channel; the mmap() of its file
 * @channel: the channel, whose file is open
 * @vma: where
 *
 * Context: May sleep.
 * Return: 0 or a negative error number.
 */
int dmacast_mappings_add(struct channel *channel, struct vm_area_struct *vma);

/**
 * dmacast_mappings_begin_look() - begin to look at the page table entries of a block
 * @channel: the channel of the block
 * @block: a block in the caller's hand
 * @look: out: for dmacast_mappings_end_look()
 *
 * Context: Any.
 * Return: false if entries are being made, or may be.
 */
bool dmacast_mappings_begin_look(struct channel *channel, const struct ring_block *block,
				 struct mapping_look *look);

/**
 * dmacast_mappings_end_look() - see whether entries were made since dmacast_mappings_begin_look()
 * @channel: the channel of the block
 * @block: a block in the caller's hand
 * @look: what dmacast_mappings_begin_look() saw
 *
 * Context: Any.
 * Return: true if none was made.
 */
bool dmacast_mappings_end_look(struct channel *channel, const struct ring_block *block,
			       const struct mapping_look *look);

/**
 * dmacast_mappings_remove_block() - unmap a block from every mapping; a page fault maps it again
 * @channel: the channel of the block
 * @block: the block
 *
 * Context: May sleep; under the mappings' lock.
 */
void dmacast_mappings_remove_block(struct channel *channel, const struct ring_block *block);

#endif
