// SPDX-License-Identifier: GPL-2.0-only
#include "channel_feed.h"

#include "block.h"
#include "channel_state.h"
#include "engine.h"
#include "fault.h"
#include "guard.h"
#include "trace.h"

#include <linux/bottom_half.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

/* After this many failed transfers, and no good one, wait this time (jiffies) before feeding. */
#define MAX_FAILURES_IN_A_ROW	16
#define FAILURE_PAUSE		max(HZ / 100, 1)

/*
 * Limits of one step with softirqs off: submitted blocks, and pages whose references are checked.
 * One block of the largest size is checked in one step.
 */
#define MAX_BLOCKS_AT_ONCE	16
#define MAX_PAGES_AT_ONCE	(MAX_BLOCK_SIZE >> PAGE_SHIFT)

/* ---- the engine finishes a transfer ---- */

/* Update @block and the counters after its transfer, and change its state. Under lock. */
static void feed_account_transfer(struct channel *channel, struct ring_block *block, bool failed,
				  u32 residue)
{
	u32 size = channel->ring->block_size;
	bool is_short = !failed && residue && channel->engine.knows_residue;

	block->length = 0;
	if (!failed)
		block->length = is_short ? size - min(residue, size) : size;
	block->sequence = channel->next_sequence++;
	channel->stats.errors += failed;
	channel->stats.short_transfers += is_short;
	channel->failures_in_a_row = failed ? channel->failures_in_a_row + 1 : 0;
	trace_dmacast_complete(block);
	if (!block->length) {
		dmacast_block_set_state(block, BLOCK_FREE);
		return;
	}
	block->failures = channel->stats.errors;
	block->suspends = channel->suspends;
	block->is_unlent = false;
	block->monotonic_ns = ktime_get_ns();
	block->realtime_ns = ktime_get_real_ns();
	channel->stats.completed++;
	channel->stats.bytes += block->length;
	/* model: fill */
	dmacast_block_set_state(block, BLOCK_READY);
}

/* Count a stall if that was the engine's last block. Under lock, before more blocks are fed. */
static void feed_account_stall(struct channel *channel)
{
	if (channel->active && !channel->count[BLOCK_QUEUED])
		channel->stats.stalls++;
}

static void feed_after(struct channel *channel, unsigned long delay)
{
	unsigned long flags;

	spin_lock_irqsave(&channel->lock, flags);
	dmacast_guard_schedule(channel, delay);
	spin_unlock_irqrestore(&channel->lock, flags);
}

static void feed_later(struct channel *channel)
{
	feed_after(channel, FAILURE_PAUSE);
}

static void feed_soon(struct channel *channel)
{
	feed_after(channel, 0);
}

/*
 * Finish @block's transfer @cookie. Ignore late calls: the block may have another transfer by now;
 * tx_status() reports a terminated transfer as complete; and an engine that cannot be stopped
 * completes transfers after the stop.
 */
static void feed_finish_transfer(struct ring_block *block, dma_cookie_t cookie, bool failed,
				 u32 residue)
{
	struct channel *channel = block->channel;
	unsigned long flags;
	bool pause;

	spin_lock_irqsave(&channel->lock, flags);
	if (block->state != BLOCK_QUEUED || block->cookie != cookie || channel->engine_stuck ||
	    (channel->engine.asks_status && !channel->active)) {
		spin_unlock_irqrestore(&channel->lock, flags);
		return;
	}
	feed_account_transfer(channel, block, failed, residue);
	feed_account_stall(channel);
	pause = channel->failures_in_a_row >= MAX_FAILURES_IN_A_ROW;
	spin_unlock_irqrestore(&channel->lock, flags);

	if (pause)
		feed_later(channel);
	else
		dmacast_channel_feed(channel);
	wake_up_interruptible_poll(&channel->wait, EPOLLIN | EPOLLRDNORM);
}

/*
 * Return the cookie of @block's transfer, 0 if it has none. Under lock. A transfer may finish
 * before dmaengine_submit() has returned its cookie: then feed_submit() completes it.
 */
static dma_cookie_t feed_queued_cookie(struct ring_block *block)
{
	if (block->state != BLOCK_QUEUED)
		return 0;
	if (!block->cookie)
		block->finished_early = true;
	return block->cookie;
}

/* Return the QUEUED block that was submitted first, and its cookie. NULL if there is none. */
static struct ring_block *feed_oldest_queued(struct channel *channel, dma_cookie_t *cookie)
{
	struct ring_block *block = NULL;
	unsigned long flags;

	spin_lock_irqsave(&channel->lock, flags);
	if (channel->active)
		block = list_first_entry_or_null(&channel->list[BLOCK_QUEUED], struct ring_block,
						 entry);
	*cookie = block ? feed_queued_cookie(block) : 0;
	spin_unlock_irqrestore(&channel->lock, flags);
	return *cookie ? block : NULL;
}

/*
 * Finish all completed transfers in the order in which they were submitted, which is that of the
 * data. Callbacks of dma-pl330 for successive blocks may run on two CPUs, in the wrong order.
 */
static void feed_finish_by_status(struct channel *channel)
{
	struct ring_block *block;
	dma_cookie_t cookie;

	while ((block = feed_oldest_queued(channel, &cookie))) {
		struct dma_tx_state state = { 0 };
		enum dma_status status =
			dmaengine_tx_status(channel->engine.chan, cookie, &state);

		if (status == DMA_IN_PROGRESS || status == DMA_PAUSED)
			return;
		feed_finish_transfer(block, cookie, status == DMA_ERROR, state.residue);
	}
}

static void feed_transfer_done(void *argument)
{
	struct channel *channel = argument;

	dmacast_engine_note_callback(&channel->engine);
	feed_finish_by_status(channel);
}

static void feed_transfer_result(void *argument, const struct dmaengine_result *result)
{
	struct ring_block *block = argument;
	struct channel *channel = block->channel;
	unsigned long flags;
	dma_cookie_t cookie;

	dmacast_engine_note_callback(&channel->engine);
	spin_lock_irqsave(&channel->lock, flags);
	block->failed = result->result != DMA_TRANS_NOERROR;
	block->residue = result->residue;
	cookie = feed_queued_cookie(block);
	spin_unlock_irqrestore(&channel->lock, flags);
	if (cookie)
		feed_finish_transfer(block, cookie, block->failed, block->residue);
}

/* ---- feeding the engine ---- */

/* Submit a block in the caller's hand to the engine. Return: false if the engine refuses it. */
static bool feed_submit(struct channel *channel, struct ring_block *block)
{
	struct engine *engine = &channel->engine;
	struct dma_async_tx_descriptor *descriptor;
	unsigned long flags;
	dma_cookie_t cookie;
	bool early;

	dma_sync_sgtable_for_device(engine->limits.dma_device, &block->memory->sgt,
				    DMA_FROM_DEVICE);
	descriptor = dmacast_fault() ? NULL :
		     dmaengine_prep_slave_sg(engine->chan, block->memory->sgt.sgl,
					     block->memory->sgt.nents, DMA_DEV_TO_MEM,
					     DMA_PREP_INTERRUPT | DMA_CTRL_ACK);
	if (!descriptor)
		return false;
	if (engine->asks_status) {
		descriptor->callback = feed_transfer_done;
		descriptor->callback_param = channel;
	} else {
		descriptor->callback_result = feed_transfer_result;
		descriptor->callback_param = block;
	}

	spin_lock_irqsave(&channel->lock, flags);
	block->cookie = 0;
	block->finished_early = false;
	/* model: arm */
	dmacast_block_set_state(block, BLOCK_QUEUED);
	trace_dmacast_submit(block);
	spin_unlock_irqrestore(&channel->lock, flags);

	cookie = dmaengine_submit(descriptor);

	spin_lock_irqsave(&channel->lock, flags);
	if (dma_submit_error(cookie)) {
		list_del_init(&block->entry);
		spin_unlock_irqrestore(&channel->lock, flags);
		return false;
	}
	block->cookie = cookie;
	early = block->finished_early;
	spin_unlock_irqrestore(&channel->lock, flags);
	if (early && engine->asks_status)
		feed_finish_by_status(channel);
	else if (early)
		feed_finish_transfer(block, cookie, block->failed, block->residue);
	return true;
}

/*
 * Keep the record of a block that is overrun after dmacast_channel_unlend(). No gap in the sequence
 * shows this block, so its losses and flags go into the next record. Under lock.
 */
static void feed_account_skipped(struct channel *channel, struct ring_block *block)
{
	if (!block->is_unlent)
		return;
	block->is_unlent = false;
	channel->skipped += 1 + block->lost;
	channel->skipped_flags |= block->flags & (DMACAST_BLOCK_AFTER_ERROR |
						  DMACAST_BLOCK_AFTER_SUSPEND);
}

/* Take the next block for the engine: a FREE one, or the oldest READY one before it runs dry. */
static struct ring_block *feed_take_next(struct channel *channel)
{
	struct ring_block *block = NULL;
	unsigned long flags;

	spin_lock_irqsave(&channel->lock, flags);
	if (!channel->active)
		goto out;
	block = dmacast_block_take(channel, BLOCK_FREE);
	/* The count includes FREE blocks in another context's hand, which will be submitted. */
	if (block || channel->count[BLOCK_FREE] || (channel->ring->flags & DMACAST_SETUP_STALL) ||
	    channel->count[BLOCK_QUEUED] >= channel->ring->min_queued)
		goto out;
	block = dmacast_block_take(channel, BLOCK_READY);
	if (!block)
		goto out;
	/* model: overrun */
	trace_dmacast_overrun(block);
	channel->stats.overruns++;
	feed_account_skipped(channel, block);
	dmacast_block_set_state(block, BLOCK_FREE);
	list_del_init(&block->entry);
out:
	spin_unlock_irqrestore(&channel->lock, flags);
	return block;
}

/* Return: false if another context feeds already; it will repeat before it ends. */
static bool feed_begin(struct channel *channel)
{
	unsigned long flags;
	bool begun;

	spin_lock_irqsave(&channel->lock, flags);
	begun = !channel->feeding;
	channel->feeding = true;
	channel->feed_again = !begun;
	spin_unlock_irqrestore(&channel->lock, flags);
	return begun;
}

/* Return: true if this context must repeat. */
static bool feed_end(struct channel *channel)
{
	unsigned long flags;
	bool again;

	spin_lock_irqsave(&channel->lock, flags);
	channel->feeding = false;
	again = channel->feed_again;
	spin_unlock_irqrestore(&channel->lock, flags);
	return again;
}

/* Do one step, within the limits above. Return: true if there is more to do. */
static bool feed_some(struct channel *channel)
{
	unsigned int looks, pages = 0, submitted = 0;
	struct ring_block *block = NULL;

	for (looks = 0; looks < MAX_BLOCKS_AT_ONCE && pages < MAX_PAGES_AT_ONCE; looks++) {
		block = feed_take_next(channel);
		if (!block)
			break;
		pages += channel->ring->block_size >> PAGE_SHIFT;
		if (dmacast_guard_examine(block) != GUARD_UNUSED) {
			/* model: quarantine */
			dmacast_guard_quarantine(block);
		} else if (feed_submit(channel, block)) {
			submitted++;
		} else {
			dmacast_block_move(block, BLOCK_FREE);
			feed_later(channel);
			block = NULL;
			break;
		}
	}
	/* dma-pl330 cannot issue an empty list. */
	if (submitted)
		dma_async_issue_pending(channel->engine.chan);
	return block;
}

/* Do one step unless another context feeds. Return: true if there is more for this one to do. */
static bool feed_if_alone(struct channel *channel)
{
	bool more;

	if (!feed_begin(channel))
		return false;
	WRITE_ONCE(channel->feeder, current);
	more = feed_some(channel);
	WRITE_ONCE(channel->feeder, NULL);
	return feed_end(channel) || more;
}

/*
 * On PREEMPT_RT the context that feeds can be preempted. The next one then waits for a lock, an
 * rt_mutex with priority inheritance. A callback from inside dma_async_issue_pending() must not
 * wait: it runs in the context that feeds. Return: true if there is more for this one to do.
 */
static bool feed_once(struct channel *channel)
{
	bool more;

	if (!IS_ENABLED(CONFIG_PREEMPT_RT) || READ_ONCE(channel->feeder) == current)
		return feed_if_alone(channel);
	spin_lock(&channel->feed_lock);
	more = feed_if_alone(channel);
	spin_unlock(&channel->feed_lock);
	return more;
}

/*
 * One context feeds at a time. Therefore QUEUED blocks are listed in the order of their transfers,
 * issuing covers exactly what this context submitted, and callbacks from inside
 * dma_async_issue_pending(), as dma-pl330 makes, do not recurse.
 *
 * A softirq does a limited part of the work and leaves the rest to channel_work().
 */
void dmacast_channel_feed(struct channel *channel)
{
	/* Other contexts rely on this one to finish: a task must not be preempted meanwhile. */
	bool is_task = in_task() && !irqs_disabled();
	bool more;

	do {
		if (is_task)
			local_bh_disable();
		rcu_read_lock(); /* channel_halt_engine() waits for this section */
		more = feed_once(channel);
		rcu_read_unlock();
		if (is_task)
			local_bh_enable();
	} while (more && is_task);
	if (more)
		feed_soon(channel);
}

/* ---- feeding from tasks ---- */

static void feed_work(struct kthread_work *work)
{
	dmacast_channel_feed(container_of(work, struct channel, feed_work));
}

int dmacast_channel_feed_init(struct channel *channel, const char *name)
{
	struct kthread_worker *thread;

	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		return 0;
	thread = dmacast_fault() ? ERR_PTR(-ENOMEM) :
		 kthread_create_worker(0, "dmacast/%s", name);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	sched_set_fifo(thread->task);
	kthread_init_work(&channel->feed_work, feed_work);
	channel->feed_thread = thread;
	return 0;
}

void dmacast_channel_feed_exit(struct channel *channel)
{
	if (channel->feed_thread)
		kthread_destroy_worker(channel->feed_thread);
	channel->feed_thread = NULL;
}

void dmacast_channel_feed_by_task(struct channel *channel)
{
	if (channel->feed_thread)
		kthread_queue_work(channel->feed_thread, &channel->feed_work);
	else
		dmacast_channel_feed(channel);
}

void dmacast_channel_feed_wait(struct channel *channel)
{
	if (channel->feed_thread)
		kthread_flush_work(&channel->feed_work);
}
