/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mappings of a ring in user space. Page faults fill them, one block at a time. They record for
 * guard.c when page table entries may have been made.
 */
#ifndef DMACAST_MAPPING_H
#define DMACAST_MAPPING_H

#include <linux/types.h>

struct channel;
struct ring_block;
struct ring_mappings;
struct vm_area_struct;

/* State at dmacast_mappings_begin_look(), for comparison in dmacast_mappings_end_look(). */
struct mapping_look {
	unsigned int copies;
	unsigned int insertions;
};

/**
 * dmacast_mappings_init() - initialize without any mapping
 * @mappings: zeroed memory
 *
 * Context: May sleep.
 */
void dmacast_mappings_init(struct ring_mappings *mappings);

/**
 * dmacast_mappings_destroy() - destroy the locks
 * @mappings: mappings of which none is left
 *
 * Context: May sleep.
 */
void dmacast_mappings_destroy(struct ring_mappings *mappings);

/**
 * dmacast_mappings_exist() - check whether the ring is mapped
 * @mappings: the mappings of a ring
 *
 * Context: Any.
 * Return: true if there is a mapping.
 */
bool dmacast_mappings_exist(struct ring_mappings *mappings);

/**
 * dmacast_mappings_add() - map the ring of a channel: mmap() of its file
 * @channel: the channel, whose file is open
 * @vma: the area to map it to
 *
 * Context: May sleep.
 * Return: 0 or a negative error number.
 */
int dmacast_mappings_add(struct channel *channel, struct vm_area_struct *vma);

/**
 * dmacast_mappings_begin_look() - begin a look at the page table entries of a block
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
 * dmacast_mappings_end_look() - check that no entry was made since the look began
 * @channel: the channel of the block
 * @block: a block in the caller's hand
 * @look: result of dmacast_mappings_begin_look()
 *
 * Context: Any.
 * Return: true if none was made.
 */
bool dmacast_mappings_end_look(struct channel *channel, const struct ring_block *block,
			       const struct mapping_look *look);

/**
 * dmacast_mappings_remove_block() - unmap a block everywhere; page faults map it again
 * @channel: the channel of the block
 * @block: the block
 *
 * Context: May sleep; under the mappings' lock.
 */
void dmacast_mappings_remove_block(struct channel *channel, const struct ring_block *block);

#endif
