// SPDX-License-Identifier: GPL-2.0-only
#include "block.h"

#include "channel_state.h"

#include <linux/list.h>
#include <linux/lockdep.h>

void dmacast_block_set_state(struct ring_block *block, enum block_state state)
{
	struct channel *channel = block->channel;

	lockdep_assert_held(&channel->lock);
	channel->count[block->state]--;
	channel->count[state]++;
	block->state = state;
	list_move_tail(&block->entry, &channel->list[state]);
}

void dmacast_block_move(struct ring_block *block, enum block_state state)
{
	unsigned long flags;

	spin_lock_irqsave(&block->channel->lock, flags);
	dmacast_block_set_state(block, state);
	spin_unlock_irqrestore(&block->channel->lock, flags);
}

struct ring_block *dmacast_block_take(struct channel *channel, enum block_state state)
{
	struct ring_block *block =
		list_first_entry_or_null(&channel->list[state], struct ring_block, entry);

	if (block)
		list_del_init(&block->entry);
	return block;
}

void dmacast_block_move_all(struct channel *channel, enum block_state from, enum block_state to)
{
	struct ring_block *block, *next;

	list_for_each_entry_safe(block, next, &channel->list[from], entry)
		dmacast_block_set_state(block, to);
}
