// SPDX-License-Identifier: GPL-2.0-only
#include "channel.h"

#include "block.h"
#include "channel_feed.h"
#include "channel_ring.h"
#include "channel_state.h"
#include "class.h"
#include "engine.h"
#include "fault.h"
#include "guard.h"
#include "mapping.h"
#include "trace.h"

#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

/* ---- start and stop ---- */

/*
 * Stop the engine and take its blocks back. Under mutex. Return: 0 or -EIO.
 *
 * Wait first until no other CPU feeds it: virt-dma terminates, and frees, also descriptors that are
 * prepared and not yet submitted.
 *
 * An engine that cannot be stopped keeps its blocks: they stay QUEUED, and neither their memory nor
 * what the engine's callbacks use (ring, channel, module) is ever freed.
 */
static int channel_halt_engine(struct channel *channel)
{
	int error;

	spin_lock_irq(&channel->lock);
	channel->active = false;
	spin_unlock_irq(&channel->lock);
	synchronize_rcu();
	error = dmacast_engine_stop(&channel->engine);
	spin_lock_irq(&channel->lock);
	if (error)
		channel->engine_stuck = true;
	else
		dmacast_block_move_all(channel, BLOCK_QUEUED, BLOCK_FREE);
	spin_unlock_irq(&channel->lock);
	if (!error)
		return 0;
	dev_err(&channel->dev,
		"the DMA engine cannot be stopped (%d): %u blocks of %zu bytes, which it may still write, are leaked; do not unload modules, restart the machine\n",
		error, channel->count[BLOCK_QUEUED], channel->ring->block_size);
	__module_get(THIS_MODULE);
	return -EIO;
}

/* Stop the engine and wake all waiting calls. Under mutex. Return: 0 or -EIO. */
static int channel_stop_engine(struct channel *channel)
{
	int error = channel_halt_engine(channel);

	spin_lock_irq(&channel->lock);
	channel->running = false;
	spin_unlock_irq(&channel->lock);
	wake_up_interruptible_all(&channel->wait);
	return error;
}

/* Feed the engine from now on. Under mutex. */
static void channel_activate(struct channel *channel)
{
	spin_lock_irq(&channel->lock);
	channel->active = true;
	channel->failures_in_a_row = 0;
	spin_unlock_irq(&channel->lock);
	dmacast_channel_feed_by_task(channel);
	dmacast_channel_feed_wait(channel);
}

int dmacast_channel_start(struct channel *channel)
{
	bool idle;

	if (!channel->ring)
		return -EINVAL;
	if (channel->running)
		return -EALREADY;
	if (channel->engine_stuck)
		return -EIO;
	dmacast_guard_look(channel);
	spin_lock_irq(&channel->lock);
	channel->running = true;
	spin_unlock_irq(&channel->lock);
	channel_activate(channel);

	spin_lock_irq(&channel->lock);
	/* A block that the engine accepted would be QUEUED or READY. */
	idle = channel->count[BLOCK_FREE] && !channel->count[BLOCK_QUEUED] &&
	       !channel->count[BLOCK_READY];
	spin_unlock_irq(&channel->lock);
	if (!idle)
		return 0;
	channel_stop_engine(channel);
	dev_notice_ratelimited(&channel->dev,
			       "the DMA engine takes no transfer of %zu bytes; try smaller or contiguous blocks\n",
			       channel->ring->block_size);
	return -EIO;
}

int dmacast_channel_stop(struct channel *channel)
{
	if (!channel->running)
		return -EALREADY;
	return channel_stop_engine(channel);
}

int dmacast_channel_suspend(struct channel *channel)
{
	int error = 0;

	mutex_lock(&channel->mutex);
	if (channel->active) {
		/* model: suspend */
		error = channel_halt_engine(channel);
		spin_lock_irq(&channel->lock);
		channel->suspends++;
		/* Account for the interrupted transfer. */
		channel->next_sequence++;
		channel->running = !error;
		spin_unlock_irq(&channel->lock);
		wake_up_interruptible_all(&channel->wait);
	}
	mutex_unlock(&channel->mutex);
	return error;
}

void dmacast_channel_resume(struct channel *channel)
{
	mutex_lock(&channel->mutex);
	/* model: resume */
	if (channel->running)
		channel_activate(channel);
	mutex_unlock(&channel->mutex);
}

/* ---- the owner ---- */

/* Fill in the part of @block's record that describes the lost blocks before it. Under lock. */
static void channel_describe_gap(struct channel *channel, struct ring_block *block)
{
	if (block->is_unlent)
		return;
	block->lost = block->sequence - channel->read_sequence + channel->skipped;
	block->flags = channel->skipped_flags;
	if (block->length < channel->ring->block_size)
		block->flags |= DMACAST_BLOCK_SHORT;
	if (block->failures != channel->read_failures)
		block->flags |= DMACAST_BLOCK_AFTER_ERROR;
	if (block->suspends != channel->read_suspends)
		block->flags |= DMACAST_BLOCK_AFTER_SUSPEND;
	channel->read_sequence = block->sequence + 1;
	channel->read_failures = block->failures;
	channel->read_suspends = block->suspends;
	channel->skipped = 0;
	channel->skipped_flags = 0;
}

bool dmacast_channel_lend(struct channel *channel, struct dmacast_block *record)
{
	struct ring_block *block;

	spin_lock_irq(&channel->lock);
	block = dmacast_block_take(channel, BLOCK_READY);
	if (!block) {
		spin_unlock_irq(&channel->lock);
		return false;
	}
	/* model: lend */
	dmacast_block_set_state(block, BLOCK_LENT);
	channel_describe_gap(channel, block);
	*record = (struct dmacast_block){
		.index = block->index,
		.flags = block->flags,
		.length = block->length,
		.sequence = block->sequence,
		.monotonic_ns = block->monotonic_ns,
		.realtime_ns = block->realtime_ns,
		.lost = block->lost,
	};
	channel->stats.lent++;
	trace_dmacast_lend(block);
	spin_unlock_irq(&channel->lock);
	dma_sync_sgtable_for_cpu(channel->engine.limits.dma_device, &block->memory->sgt,
				 DMA_FROM_DEVICE);
	return true;
}

/* Put @block back into the list of READY blocks, which is ordered by sequence. */
static void channel_insert_ready(struct channel *channel, struct ring_block *block)
{
	struct list_head *ready = &channel->list[BLOCK_READY];
	struct ring_block *next;

	dmacast_block_set_state(block, BLOCK_READY);
	list_for_each_entry(next, ready, entry) {
		if (next->sequence > block->sequence)
			break;
	}
	/* Before @next, or at the end: @next->entry is then the head of the list. */
	list_move_tail(&block->entry, &next->entry);
}

void dmacast_channel_unlend(struct channel *channel, const struct dmacast_block *record, u32 setups)
{
	struct ring_block *block;

	spin_lock_irq(&channel->lock);
	/* Meanwhile another thread may have returned the block or set up another ring. */
	if (channel->setups == setups) {
		block = &channel->ring->block[record->index];
		if (block->state == BLOCK_LENT && block->sequence == record->sequence) {
			block->is_unlent = true;
			channel->stats.lent--;
			channel_insert_ready(channel, block);
		}
	}
	spin_unlock_irq(&channel->lock);
}

int dmacast_channel_return(struct channel *channel, u32 index)
{
	struct ring_block *block;
	int error = 0;

	if (!channel->ring || index >= channel->ring->block_count)
		return -EINVAL;
	block = &channel->ring->block[array_index_nospec(index, channel->ring->block_count)];
	spin_lock_irq(&channel->lock);
	if (block->state == BLOCK_LENT) {
		/* model: write */
		dmacast_block_set_state(block, BLOCK_FREE);
		channel->stats.recycled++;
		trace_dmacast_recycle(block);
	} else {
		error = -EINVAL;
	}
	spin_unlock_irq(&channel->lock);
	return error;
}

/* Take back the blocks that the owner did not return; sockets may still send from them. */
static void channel_take_back_lent(struct channel *channel)
{
	struct ring_block *block;

	for (;;) {
		spin_lock_irq(&channel->lock);
		block = dmacast_block_take(channel, BLOCK_LENT);
		spin_unlock_irq(&channel->lock);
		if (!block)
			return;
		if (dmacast_guard_examine(block) == GUARD_UNUSED)
			dmacast_block_move(block, BLOCK_FREE);
		else
			dmacast_guard_quarantine(block);
	}
}

void dmacast_channel_release(struct channel *channel)
{
	if (channel->running)
		channel_stop_engine(channel);
	/* model: crash */
	channel_take_back_lent(channel);
	spin_lock_irq(&channel->lock);
	dmacast_block_move_all(channel, BLOCK_READY, BLOCK_FREE);
	spin_unlock_irq(&channel->lock);
	mutex_lock(&channel->mappings.lock);
	channel->mappings.file = NULL;
	mutex_unlock(&channel->mappings.lock);
	channel->is_open = false;
}

void dmacast_channel_read_stats(struct channel *channel, struct dmacast_stats *stats)
{
	spin_lock_irq(&channel->lock);
	*stats = channel->stats;
	stats->blocks_free = channel->count[BLOCK_FREE];
	stats->blocks_queued = channel->count[BLOCK_QUEUED];
	stats->blocks_ready = channel->count[BLOCK_READY];
	stats->blocks_lent = channel->count[BLOCK_LENT];
	stats->blocks_quarantine = channel->count[BLOCK_QUARANTINE];
	stats->left_behind = channel->left_bytes;
	stats->running = channel->running;
	spin_unlock_irq(&channel->lock);
}

void dmacast_channel_describe(struct channel *channel, struct dmacast_info *info)
{
	const struct engine *engine = &channel->engine;

	*info = (struct dmacast_info){
		.abi_version = DMACAST_ABI_VERSION,
		.page_size = PAGE_SIZE,
		.max_segments = engine->limits.max_segments,
		.max_segment_size = engine->limits.max_segment_size,
		.max_block_count = MAX_BLOCK_COUNT,
		.max_block_size = MAX_BLOCK_SIZE,
	};
	if (engine->knows_residue)
		info->flags |= DMACAST_INFO_RESIDUE;
	if (engine->contiguous)
		info->flags |= DMACAST_INFO_CONTIGUOUS;
	strscpy(info->name, dev_name(&channel->dev), sizeof(info->name));
}

/* ---- the life of a channel ---- */

static void channel_free(struct device *dev)
{
	struct channel *channel = container_of(dev, struct channel, dev);

	/* dmacast_channel_remove() has ended DMA, unless the engine is stuck. */
	dmacast_channel_free_ring(channel);
	dmacast_guard_drop_left(channel);
	dmacast_class_put_number(dev->devt);
	if (channel->engine_stuck)
		return;
	dmacast_mappings_destroy(&channel->mappings);
	mutex_destroy(&channel->mutex);
	kfree(channel);
}

/* The channel's work item: check quarantine, then feed. */
static void channel_work(struct work_struct *work)
{
	struct channel *channel = container_of(to_delayed_work(work), struct channel, work);

	mutex_lock(&channel->mutex);
	dmacast_guard_free_left(channel);
	if (!channel->dead) {
		dmacast_guard_look(channel);
		dmacast_channel_feed_by_task(channel);
	}
	dmacast_guard_schedule_next(channel);
	mutex_unlock(&channel->mutex);
}

static struct channel *channel_allocate(struct device *parent, const char *name,
					const struct file_operations *fops,
					const struct attribute_group **groups)
{
	struct channel *channel = dmacast_fault() ? NULL : kzalloc(sizeof(*channel), GFP_KERNEL);
	int error;

	if (!channel)
		return ERR_PTR(-ENOMEM);
	error = dmacast_class_take_number(&channel->dev.devt);
	if (error) {
		kfree(channel);
		return ERR_PTR(error);
	}
	mutex_init(&channel->mutex);
	dmacast_mappings_init(&channel->mappings);
	INIT_LIST_HEAD(&channel->left);
	spin_lock_init(&channel->lock);
	spin_lock_init(&channel->feed_lock);
	init_waitqueue_head(&channel->wait);
	for (int state = 0; state < BLOCK_STATES; state++)
		INIT_LIST_HEAD(&channel->list[state]);
	INIT_DELAYED_WORK(&channel->work, channel_work);
	device_initialize(&channel->dev);
	channel->dev.class = &dmacast_class;
	channel->dev.parent = parent;
	channel->dev.groups = groups;
	channel->dev.release = channel_free;
	cdev_init(&channel->cdev, fops);
	channel->cdev.owner = THIS_MODULE;
	error = dmacast_fault() ? -ENOMEM : dev_set_name(&channel->dev, "%s", name);
	if (error) {
		put_device(&channel->dev);
		return ERR_PTR(error);
	}
	return channel;
}

struct channel *dmacast_channel_create(struct device *parent, const char *name,
				       const struct file_operations *fops,
				       const struct attribute_group **groups)
{
	struct channel *channel = channel_allocate(parent, name, fops, groups);
	int error;

	if (IS_ERR(channel)) {
		dev_err(parent, "cannot create /dev/dmacast/%s: %ld\n", name, PTR_ERR(channel));
		return channel;
	}
	error = dmacast_channel_feed_init(channel, name);
	if (error) {
		dev_err(parent, "cannot create /dev/dmacast/%s: %d\n", name, error);
		goto put;
	}
	error = dmacast_engine_open(&channel->engine, parent);
	if (error)
		goto exit_feed;
	error = dmacast_fault() ? -ENOMEM : cdev_device_add(&channel->cdev, &channel->dev);
	if (error) {
		dev_err(parent, "cannot create /dev/dmacast/%s: %d\n", name, error);
		goto close;
	}
	dev_info(&channel->dev, "DMA channel %s of %s; %sup to %u bytes per segment%s\n",
		 dma_chan_name(channel->engine.chan),
		 dev_driver_string(channel->engine.chan->device->dev),
		 channel->engine.contiguous ? "contiguous blocks, " : "",
		 channel->engine.limits.max_segment_size,
		 channel->engine.asks_status ? ", results by tx_status" : "");
	return channel;
close:
	dmacast_engine_close(&channel->engine);
exit_feed:
	dmacast_channel_feed_exit(channel);
put:
	put_device(&channel->dev);
	return ERR_PTR(error);
}

void dmacast_channel_remove(struct channel *channel)
{
	cdev_device_del(&channel->cdev, &channel->dev);
	mutex_lock(&channel->mutex);
	/* Set this before stopping wakes poll(), which must report unbinding and not a STOP. */
	spin_lock_irq(&channel->lock);
	/* model: unbind */
	channel->dead = true;
	spin_unlock_irq(&channel->lock);
	if (channel->running)
		channel_stop_engine(channel);
	dmacast_channel_unmap_ring(channel);
	/* The provider may free the channel, which a stuck engine still uses. */
	if (!channel->engine_stuck)
		dmacast_engine_close(&channel->engine);
	mutex_unlock(&channel->mutex);
	cancel_delayed_work_sync(&channel->work);
	dmacast_channel_feed_exit(channel);
	wake_up_interruptible_all(&channel->wait);
	put_device(&channel->dev);
}
