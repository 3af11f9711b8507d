// SPDX-License-Identifier: GPL-2.0-only
#include "channel.h"

#include "compat.h"
#include "class.h"
#include "fault.h"
#include "trace.h"

#include <linux/bottom_half.h>
#include <linux/dma-mapping.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#define BLOCK_COUNT_LEAST	2
#define BLOCK_COUNT_MOST	1048576U
#define BLOCK_SIZE_MOST		(64U << 20)

#define SETUP_FLAGS		(DMACAST_SETUP_STALL | DMACAST_SETUP_CONTIGUOUS)

/* One that is being filled, and the next one. */
#define QUEUE_LEAST		2

/* An engine that only fails is asked again after a pause. */
#define FAILURES_IN_A_ROW	16
#define FEED_AGAIN		max(HZ / 100, 1)

/*
 * Limits of what is done at once, with softirqs off: blocks that are submitted, and pages whose
 * references are looked at. A block of the largest size is looked at as a whole.
 */
#define FEED_AT_ONCE		16
#define PAGES_AT_ONCE		(BLOCK_SIZE_MOST >> PAGE_SHIFT)

void block_set_state(struct ring_block *block, enum block_state state)
{
	struct channel *channel = block->channel;

	lockdep_assert_held(&channel->lock);
	channel->count[block->state]--;
	channel->count[state]++;
	block->state = state;
	list_move_tail(&block->entry, &channel->list[state]);
}

void block_move(struct ring_block *block, enum block_state state)
{
	unsigned long flags;

	spin_lock_irqsave(&block->channel->lock, flags);
	block_set_state(block, state);
	spin_unlock_irqrestore(&block->channel->lock, flags);
}

/* The oldest block in a state, now in the caller's hand; NULL when there is none. Under lock. */
static struct ring_block *take_block(struct channel *channel, enum block_state state)
{
	struct ring_block *block =
		list_first_entry_or_null(&channel->list[state], struct ring_block, entry);

	if (block)
		list_del_init(&block->entry);
	return block;
}

/* Every block of state @from, if it is in nobody's hand. Under lock. */
static void set_state_of_all(struct channel *channel, enum block_state from, enum block_state to)
{
	struct ring_block *block, *next;

	list_for_each_entry_safe(block, next, &channel->list[from], entry)
		block_set_state(block, to);
}

/* ---- the engine finishes a transfer ---- */

/* Under lock. */
static void account_transfer(struct channel *channel, struct ring_block *block, bool failed,
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
		block_set_state(block, BLOCK_FREE);
		return;
	}
	block->failures = channel->stats.errors;
	block->suspends = channel->suspends;
	block->is_unlent = false;
	block->monotonic_ns = ktime_get_ns();
	block->realtime_ns = ktime_get_real_ns();
	channel->stats.completed++;
	channel->stats.bytes += block->length;
	block_set_state(block, BLOCK_READY);
}

/* Did the engine have nothing else to do? Later nobody knows: blocks come at any time. */
static void account_stall(struct channel *channel)
{
	if (channel->active && !channel->count[BLOCK_QUEUED])
		channel->stats.stalls++;
}

static void feed_after(struct channel *channel, unsigned long delay)
{
	unsigned long flags;

	spin_lock_irqsave(&channel->lock, flags);
	guard_schedule(channel, delay);
	spin_unlock_irqrestore(&channel->lock, flags);
}

static void feed_later(struct channel *channel)
{
	feed_after(channel, FEED_AGAIN);
}

static void feed_soon(struct channel *channel)
{
	feed_after(channel, 0);
}

/*
 * @block's transfer of that @cookie is done. The call may be late: the block may have another
 * transfer by now. tx_status() says of a terminated one that it is complete, and an engine that
 * cannot be stopped completes transfers that nobody waits for.
 */
static void finish_transfer(struct ring_block *block, dma_cookie_t cookie, bool failed, u32 residue)
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
	account_transfer(channel, block, failed, residue);
	account_stall(channel);
	pause = channel->failures_in_a_row >= FAILURES_IN_A_ROW;
	spin_unlock_irqrestore(&channel->lock, flags);

	if (pause)
		feed_later(channel);
	else
		channel_feed(channel);
	wake_up_interruptible_poll(&channel->wait, EPOLLIN | EPOLLRDNORM);
}

/*
 * The cookie of @block's transfer; 0: it has none. Under lock. The transfer may be finished before
 * dmaengine_submit() has told its cookie: then submit() goes on with what is left to do.
 */
static dma_cookie_t queued_cookie(struct ring_block *block)
{
	if (block->state != BLOCK_QUEUED)
		return 0;
	if (!block->cookie)
		block->finished_early = true;
	return block->cookie;
}

/* The first block that was given to the engine, of those that are still there. */
static struct ring_block *oldest_queued(struct channel *channel, dma_cookie_t *cookie)
{
	struct ring_block *block = NULL;
	unsigned long flags;

	spin_lock_irqsave(&channel->lock, flags);
	if (channel->active)
		block = list_first_entry_or_null(&channel->list[BLOCK_QUEUED], struct ring_block,
						 entry);
	*cookie = block ? queued_cookie(block) : 0;
	spin_unlock_irqrestore(&channel->lock, flags);
	return *cookie ? block : NULL;
}

/*
 * All that is done, in the order in which it was submitted, which is that of the data. dma-pl330
 * may call for a block before, on another CPU, it calls for the block before it.
 */
static void finish_by_status(struct channel *channel)
{
	struct ring_block *block;
	dma_cookie_t cookie;

	while ((block = oldest_queued(channel, &cookie))) {
		struct dma_tx_state state = { 0 };
		enum dma_status status =
			dmaengine_tx_status(channel->engine.chan, cookie, &state);

		if (status == DMA_IN_PROGRESS || status == DMA_PAUSED)
			return;
		finish_transfer(block, cookie, status == DMA_ERROR, state.residue);
	}
}

static void transfer_done(void *argument)
{
	struct channel *channel = argument;

	engine_note_callback(&channel->engine);
	finish_by_status(channel);
}

static void transfer_done_result(void *argument, const struct dmaengine_result *result)
{
	struct ring_block *block = argument;
	struct channel *channel = block->channel;
	unsigned long flags;
	dma_cookie_t cookie;

	engine_note_callback(&channel->engine);
	spin_lock_irqsave(&channel->lock, flags);
	block->failed = result->result != DMA_TRANS_NOERROR;
	block->residue = result->residue;
	cookie = queued_cookie(block);
	spin_unlock_irqrestore(&channel->lock, flags);
	if (cookie)
		finish_transfer(block, cookie, block->failed, block->residue);
}

/* ---- feeding the engine ---- */

/* Give one block, which is in the caller's hand, to the engine. Return: does it take it? */
static bool submit(struct channel *channel, struct ring_block *block)
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
		descriptor->callback = transfer_done;
		descriptor->callback_param = channel;
	} else {
		descriptor->callback_result = transfer_done_result;
		descriptor->callback_param = block;
	}

	spin_lock_irqsave(&channel->lock, flags);
	block->cookie = 0;
	block->finished_early = false;
	block_set_state(block, BLOCK_QUEUED);
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
		finish_by_status(channel);
	else if (early)
		finish_transfer(block, cookie, block->failed, block->residue);
	return true;
}

/*
 * The record of a block that channel_unlend() took back is not in the gap between the sequence
 * numbers of two reads: what it would have said goes into the next record. Under lock.
 */
static void account_skipped(struct channel *channel, struct ring_block *block)
{
	if (!block->is_unlent)
		return;
	block->is_unlent = false;
	channel->skipped += 1 + block->lost;
	channel->skipped_flags |= block->flags & (DMACAST_BLOCK_AFTER_ERROR |
						  DMACAST_BLOCK_AFTER_SUSPEND);
}

/* The next block for the engine: a free one; before it runs dry, the oldest that nobody read. */
static struct ring_block *take_next(struct channel *channel)
{
	struct ring_block *block = NULL;
	unsigned long flags;

	spin_lock_irqsave(&channel->lock, flags);
	if (!channel->active)
		goto out;
	block = take_block(channel, BLOCK_FREE);
	/* The count includes free blocks in another's hand: they are on their way. */
	if (block || channel->count[BLOCK_FREE] || (channel->ring->flags & DMACAST_SETUP_STALL) ||
	    channel->count[BLOCK_QUEUED] >= channel->ring->queue_least)
		goto out;
	block = take_block(channel, BLOCK_READY);
	if (!block)
		goto out;
	trace_dmacast_overrun(block);
	channel->stats.overruns++;
	account_skipped(channel, block);
	block_set_state(block, BLOCK_FREE);
	list_del_init(&block->entry);
out:
	spin_unlock_irqrestore(&channel->lock, flags);
	return block;
}

/* Return: false when another context feeds, which will look once more before it ends. */
static bool begin_feeding(struct channel *channel)
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

/* Return: true if there is more to do. */
static bool end_feeding(struct channel *channel)
{
	unsigned long flags;
	bool again;

	spin_lock_irqsave(&channel->lock, flags);
	channel->feeding = false;
	again = channel->feed_again;
	spin_unlock_irqrestore(&channel->lock, flags);
	return again;
}

/* Return: true if there is more to do. */
static bool feed_some(struct channel *channel)
{
	unsigned int looks, pages = 0, submitted = 0;
	struct ring_block *block = NULL;

	for (looks = 0; looks < FEED_AT_ONCE && pages < PAGES_AT_ONCE; looks++) {
		block = take_next(channel);
		if (!block)
			break;
		pages += channel->ring->block_size >> PAGE_SHIFT;
		if (guard_examine(block) != GUARD_UNUSED) {
			guard_quarantine(block);
		} else if (submit(channel, block)) {
			submitted++;
		} else {
			block_move(block, BLOCK_FREE);
			feed_later(channel);
			block = NULL;
			break;
		}
	}
	/* dma-pl330 must not be asked to issue nothing. */
	if (submitted)
		dma_async_issue_pending(channel->engine.chan);
	return block;
}

/* Return: true if there is more to do for this context. */
static bool feed_if_alone(struct channel *channel)
{
	bool more;

	if (!begin_feeding(channel))
		return false;
	WRITE_ONCE(channel->feeder, current);
	more = feed_some(channel);
	WRITE_ONCE(channel->feeder, NULL);
	return end_feeding(channel) || more;
}

/*
 * On PREEMPT_RT the context that feeds can be preempted, for any time, by one whose priority is
 * between its own and that of the next context. There the next one waits for it by a lock, which
 * is an rt_mutex and lends its priority. A callback that comes out of dma_async_issue_pending()
 * must not: it is in the context that feeds. Return: true if there is more to do for this context.
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
 * One context at a time: the order of blocks in the list of QUEUED ones is that of their transfers,
 * what is issued is what was submitted here, and a callback that comes out of
 * dma_async_issue_pending() itself, as dma-pl330's do, does not go deeper and deeper.
 *
 * A softirq does a bounded part of the work, and leaves the rest to guard_work().
 */
void channel_feed(struct channel *channel)
{
	/* The others rely on the context that feeds: one that can be preempted must not be. */
	bool is_task = in_task() && !irqs_disabled();
	bool more;

	do {
		if (is_task)
			local_bh_disable();
		rcu_read_lock(); /* halt_engine() waits for it */
		more = feed_once(channel);
		rcu_read_unlock();
		if (is_task)
			local_bh_enable();
	} while (more && is_task);
	if (more)
		feed_soon(channel);
}

/* ---- start and stop ---- */

/*
 * Not while another CPU feeds it: to virt-dma a descriptor that is prepared and not yet submitted
 * is one of those to terminate, and free. Under mutex.
 *
 * If the engine cannot be stopped, it keeps what it has: the QUEUED blocks stay so, and neither
 * their memory nor what its callbacks use is ever freed. Return: 0 or -EIO.
 */
static int halt_engine(struct channel *channel)
{
	int error;

	spin_lock_irq(&channel->lock);
	channel->active = false;
	spin_unlock_irq(&channel->lock);
	synchronize_rcu();
	error = engine_stop(&channel->engine);
	spin_lock_irq(&channel->lock);
	if (error)
		channel->engine_stuck = true;
	else
		set_state_of_all(channel, BLOCK_QUEUED, BLOCK_FREE);
	spin_unlock_irq(&channel->lock);
	if (!error)
		return 0;
	dev_err(&channel->dev,
		"the DMA engine cannot be stopped (%d): %u blocks of %zu bytes, which it may still write, are leaked; unload nothing and restart the machine\n",
		error, channel->count[BLOCK_QUEUED], channel->ring->block_size);
	get_device(&channel->dev);
	__module_get(THIS_MODULE);
	return -EIO;
}

/* Under mutex. Return: 0 or -EIO. */
static int stop_engine(struct channel *channel)
{
	int error = halt_engine(channel);

	spin_lock_irq(&channel->lock);
	channel->running = false;
	spin_unlock_irq(&channel->lock);
	wake_up_interruptible_all(&channel->wait);
	return error;
}

static void activate(struct channel *channel)
{
	spin_lock_irq(&channel->lock);
	channel->active = true;
	channel->failures_in_a_row = 0;
	spin_unlock_irq(&channel->lock);
	channel_feed(channel);
}

int channel_start(struct channel *channel)
{
	bool idle;

	if (!channel->ring)
		return -EINVAL;
	if (channel->running)
		return -EALREADY;
	if (channel->engine_stuck)
		return -EIO;
	guard_look(channel);
	spin_lock_irq(&channel->lock);
	channel->running = true;
	spin_unlock_irq(&channel->lock);
	activate(channel);

	spin_lock_irq(&channel->lock);
	/* Had the engine taken any block, it would be at least queued. */
	idle = channel->count[BLOCK_FREE] && !channel->count[BLOCK_QUEUED] &&
	       !channel->count[BLOCK_READY];
	spin_unlock_irq(&channel->lock);
	if (!idle)
		return 0;
	stop_engine(channel);
	dev_notice_ratelimited(&channel->dev,
			       "the DMA engine takes no transfer of %zu bytes; try smaller blocks, or contiguous ones\n",
			       channel->ring->block_size);
	return -EIO;
}

int channel_stop(struct channel *channel)
{
	if (!channel->running)
		return -EALREADY;
	return stop_engine(channel);
}

int channel_suspend(struct channel *channel)
{
	int error = 0;

	mutex_lock(&channel->mutex);
	if (channel->active) {
		error = halt_engine(channel);
		spin_lock_irq(&channel->lock);
		channel->suspends++;
		/* For the transfer that was cut off. */
		channel->next_sequence++;
		channel->running = !error;
		spin_unlock_irq(&channel->lock);
		wake_up_interruptible_all(&channel->wait);
	}
	mutex_unlock(&channel->mutex);
	return error;
}

void channel_resume(struct channel *channel)
{
	mutex_lock(&channel->mutex);
	if (channel->running)
		activate(channel);
	mutex_unlock(&channel->mutex);
}

/* ---- the ring ---- */

/*
 * Free a ring that nobody uses; what sockets still refer to is left behind. Blocks that an engine
 * which cannot be stopped may write are leaked, and so is what its callbacks use. Under mutex.
 */
static void free_ring(struct channel *channel, struct ring *ring)
{
	bool is_leaked = false;

	if (!ring)
		return;
	for (u32 i = 0; i < ring->block_count; i++) {
		if (ring->block[i].state == BLOCK_QUEUED) {
			is_leaked = true;
			continue;
		}
		memory_unmap(ring->block[i].memory, channel->engine.limits.dma_device);
		guard_leave(channel, ring->block[i].memory);
		cond_resched();
	}
	compat_put_memcg(ring->memcg);
	if (!is_leaked)
		kvfree(ring);
}

static int allocate_blocks(struct channel *channel, struct ring *ring)
{
	bool contiguous = ring->flags & DMACAST_SETUP_CONTIGUOUS;
	u32 count = ring->block_count;

	for (ring->block_count = 0; ring->block_count < count; ring->block_count++) {
		struct ring_block *block = &ring->block[ring->block_count];
		struct block_memory *memory;

		if (fatal_signal_pending(current))
			return -EINTR;
		memory = memory_allocate(&channel->engine.limits, ring->block_size, contiguous);
		if (PTR_ERR(memory) == -ENOMEM)
			dev_notice_ratelimited(&channel->dev,
					       "no memory for block %u of %u of %zu bytes%s: lower the ring's size or the block's%s\n",
					       ring->block_count, count, ring->block_size,
					       contiguous ? ", contiguous" : "",
					       contiguous ? ", or set it up soon after boot" : "");
		if (IS_ERR(memory))
			return PTR_ERR(memory);
		block->memory = memory;
		block->channel = channel;
		block->index = ring->block_count;
		INIT_LIST_HEAD(&block->entry);
		cond_resched();
	}
	return 0;
}

static struct ring *allocate_ring(struct channel *channel, size_t block_size, u32 block_count,
				  u32 flags)
{
	struct ring *ring = dmacast_fault() ? NULL :
			    kvzalloc(struct_size(ring, block, block_count), GFP_KERNEL);
	int error;

	if (!ring) {
		dev_notice_ratelimited(&channel->dev,
				       "no memory to keep account of %u blocks: lower their number\n",
				       block_count);
		return ERR_PTR(-ENOMEM);
	}
	ring->block_size = block_size;
	ring->block_count = block_count;
	ring->flags = flags;
	ring->queue_least = min_t(u32, QUEUE_LEAST, block_count - 1);
	ring->memcg = compat_get_memcg();
	error = allocate_blocks(channel, ring);
	if (error) {
		free_ring(channel, ring);
		return ERR_PTR(error);
	}
	return ring;
}

/* Make @ring the channel's ring, which it has none of. Under mutex. */
static void install_ring(struct channel *channel, struct ring *ring)
{
	spin_lock_irq(&channel->lock);
	for (u32 i = 0; i < ring->block_count; i++) {
		list_add_tail(&ring->block[i].entry, &channel->list[BLOCK_FREE]);
		channel->count[BLOCK_FREE]++;
	}
	spin_unlock_irq(&channel->lock);
	mutex_lock(&channel->mappings.lock);
	channel->ring = ring;
	mutex_unlock(&channel->mappings.lock);
}

/* Bytes of blocks that sockets still refer to; no mapping is left. */
static u64 used_bytes(const struct ring *ring)
{
	u64 bytes = 0;

	for (u32 i = 0; ring && i < ring->block_count; i++) {
		if (ring->block[i].state != BLOCK_QUEUED &&
		    !memory_is_unused(ring->block[i].memory))
			bytes += ring->block_size;
	}
	return bytes;
}

static u64 ring_bytes(const struct ring *ring)
{
	return ring ? (u64)ring->block_size * ring->block_count : 0;
}

/* Free the channel's ring before one of @size bytes comes. Under mutex. Return: 0 or -EBUSY. */
static int remove_ring(struct channel *channel, u64 size)
{
	struct ring *old = channel->ring;

	mutex_lock(&channel->mappings.lock);
	if (mappings_exist(&channel->mappings) ||
	    !guard_may_leave(channel, used_bytes(old), max(size, ring_bytes(old)))) {
		mutex_unlock(&channel->mappings.lock);
		return -EBUSY;
	}
	channel->ring = NULL;
	mutex_unlock(&channel->mappings.lock);

	spin_lock_irq(&channel->lock);
	for (int state = 0; state < BLOCK_STATES; state++) {
		INIT_LIST_HEAD(&channel->list[state]);
		channel->count[state] = 0;
	}
	spin_unlock_irq(&channel->lock);
	free_ring(channel, old);
	return 0;
}

static void reset_counters(struct channel *channel)
{
	spin_lock_irq(&channel->lock);
	memset(&channel->stats, 0, sizeof(channel->stats));
	channel->next_sequence = 0;
	channel->read_sequence = 0;
	channel->read_failures = 0;
	channel->suspends = 0;
	channel->read_suspends = 0;
	channel->skipped = 0;
	channel->skipped_flags = 0;
	channel->setups++;
	spin_unlock_irq(&channel->lock);
}

static int check_geometry(struct channel *channel, const struct dmacast_setup *setup)
{
	const struct memory_limits *limits = &channel->engine.limits;
	struct device *dev = &channel->dev;
	u64 size = setup->block_size;

	for (size_t i = 0; i < ARRAY_SIZE(setup->reserved); i++) {
		if (setup->reserved[i]) {
			dev_notice_ratelimited(dev, "set-up: what is reserved must be 0\n");
			return -EINVAL;
		}
	}
	if (setup->flags & ~SETUP_FLAGS) {
		dev_notice_ratelimited(dev, "set-up flags 0x%x: this driver knows 0x%x\n",
				       setup->flags, SETUP_FLAGS);
		return -EINVAL;
	}
	if (!size && !setup->block_count)
		return 0;
	if (!size || size % PAGE_SIZE || size > BLOCK_SIZE_MOST) {
		dev_notice_ratelimited(dev,
				       "a block size of %llu bytes: it must be a multiple of %lu, and at most %u\n",
				       size, PAGE_SIZE, BLOCK_SIZE_MOST);
		return -EINVAL;
	}
	if (setup->block_count < BLOCK_COUNT_LEAST || setup->block_count > BLOCK_COUNT_MOST) {
		dev_notice_ratelimited(dev, "%u blocks: it must be from %u to %u\n",
				       setup->block_count, BLOCK_COUNT_LEAST, BLOCK_COUNT_MOST);
		return -EINVAL;
	}
	/* Only 32 bits can be too few. */
	if (size * setup->block_count > SIZE_MAX) {
		dev_notice_ratelimited(dev,
				       "a ring of %u blocks of %llu bytes: it must have at most %zu bytes\n",
				       setup->block_count, size, SIZE_MAX);
		return -EINVAL;
	}
	if ((setup->flags & DMACAST_SETUP_CONTIGUOUS) &&
	    (get_order(size) > COMPAT_LARGEST_ORDER ||
	     (limits->max_segments == 1 && size > limits->max_segment_size))) {
		dev_notice_ratelimited(dev,
				       "contiguous blocks of %llu bytes: at most %llu can be had\n",
				       size,
				       min_t(u64, (u64)PAGE_SIZE << COMPAT_LARGEST_ORDER,
					     limits->max_segments == 1 ? limits->max_segment_size :
									 U64_MAX));
		return -EINVAL;
	}
	return 0;
}

/* The overrun policy is no matter of memory. */
static bool is_same_geometry(const struct ring *ring, const struct dmacast_setup *setup)
{
	return ring && ring->block_size == setup->block_size &&
	       ring->block_count == setup->block_count &&
	       !((ring->flags ^ setup->flags) & DMACAST_SETUP_CONTIGUOUS);
}

static bool is_in_use(struct channel *channel)
{
	return channel->running || channel->count[BLOCK_LENT] ||
	       mappings_exist(&channel->mappings);
}

/* Asking the allocator for more than there is would take it from everyone else first. */
static int check_available(struct channel *channel, u64 size)
{
	u64 available = (u64)si_mem_available() << PAGE_SHIFT;

	if (size <= available)
		return 0;
	dev_notice_ratelimited(&channel->dev,
			       "a ring of %llu bytes: %llu are available; lower the ring's size\n",
			       size, available);
	return -ENOMEM;
}

int channel_set_up(struct channel *channel, struct dmacast_setup *setup)
{
	struct ring *ring = NULL;
	int error;
	u64 size;

	if (channel->engine.contiguous && setup->block_count)
		setup->flags |= DMACAST_SETUP_CONTIGUOUS;
	error = check_geometry(channel, setup);
	if (error)
		return error;
	if (is_in_use(channel))
		return -EBUSY;
	size = setup->block_size * setup->block_count;
	if (is_same_geometry(channel->ring, setup)) {
		spin_lock_irq(&channel->lock);
		set_state_of_all(channel, BLOCK_READY, BLOCK_FREE);
		spin_unlock_irq(&channel->lock);
	} else {
		error = remove_ring(channel, size);
		if (!error)
			error = check_available(channel, size);
		if (error)
			return error;
		if (setup->block_count)
			ring = allocate_ring(channel, setup->block_size, setup->block_count,
					     setup->flags);
		if (IS_ERR(ring))
			return PTR_ERR(ring);
		if (ring)
			install_ring(channel, ring);
	}
	if (channel->ring)
		channel->ring->flags = setup->flags;
	reset_counters(channel);
	setup->map_size = size;
	setup->stride = setup->block_size;
	return 0;
}

/* ---- the owner ---- */

/* What the record of a block says of those before it. Under lock. */
static void describe_gap(struct channel *channel, struct ring_block *block)
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

bool channel_lend(struct channel *channel, struct dmacast_block *record)
{
	struct ring_block *block;

	spin_lock_irq(&channel->lock);
	block = take_block(channel, BLOCK_READY);
	if (!block) {
		spin_unlock_irq(&channel->lock);
		return false;
	}
	block_set_state(block, BLOCK_LENT);
	describe_gap(channel, block);
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

/* Put @block where it was among the READY ones, which are in the order of their sequence. */
static void insert_ready(struct channel *channel, struct ring_block *block)
{
	struct list_head *ready = &channel->list[BLOCK_READY];
	struct ring_block *next;

	block_set_state(block, BLOCK_READY);
	list_for_each_entry(next, ready, entry) {
		if (next->sequence > block->sequence)
			break;
	}
	/* Before @next; at the end if there is none. */
	list_move_tail(&block->entry, &next->entry);
}

void channel_unlend(struct channel *channel, const struct dmacast_block *record, u32 setups)
{
	struct ring_block *block;

	spin_lock_irq(&channel->lock);
	/* Another thread may have given it back, and more, since the mutex was released. */
	if (channel->setups == setups) {
		block = &channel->ring->block[record->index];
		if (block->state == BLOCK_LENT && block->sequence == record->sequence) {
			block->is_unlent = true;
			channel->stats.lent--;
			insert_ready(channel, block);
		}
	}
	spin_unlock_irq(&channel->lock);
}

int channel_return(struct channel *channel, u32 index)
{
	struct ring_block *block;
	int error = 0;

	if (!channel->ring || index >= channel->ring->block_count)
		return -EINVAL;
	block = &channel->ring->block[array_index_nospec(index, channel->ring->block_count)];
	spin_lock_irq(&channel->lock);
	if (block->state == BLOCK_LENT) {
		block_set_state(block, BLOCK_FREE);
		channel->stats.recycled++;
		trace_dmacast_recycle(block);
	} else {
		error = -EINVAL;
	}
	spin_unlock_irq(&channel->lock);
	return error;
}

/* What the owner did not give back. Whoever sends from these still does. */
static void take_back_lent(struct channel *channel)
{
	struct ring_block *block;

	for (;;) {
		spin_lock_irq(&channel->lock);
		block = take_block(channel, BLOCK_LENT);
		spin_unlock_irq(&channel->lock);
		if (!block)
			return;
		if (guard_examine(block) == GUARD_UNUSED)
			block_move(block, BLOCK_FREE);
		else
			guard_quarantine(block);
	}
}

void channel_release(struct channel *channel)
{
	if (channel->running)
		stop_engine(channel);
	take_back_lent(channel);
	spin_lock_irq(&channel->lock);
	set_state_of_all(channel, BLOCK_READY, BLOCK_FREE);
	spin_unlock_irq(&channel->lock);
	mutex_lock(&channel->mappings.lock);
	channel->mappings.file = NULL;
	mutex_unlock(&channel->mappings.lock);
	channel->is_open = false;
}

void channel_read_stats(struct channel *channel, struct dmacast_stats *stats)
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

void channel_describe(struct channel *channel, struct dmacast_info *info)
{
	const struct engine *engine = &channel->engine;

	*info = (struct dmacast_info){
		.abi_version = DMACAST_ABI_VERSION,
		.page_size = PAGE_SIZE,
		.max_segments = engine->limits.max_segments,
		.max_segment_size = engine->limits.max_segment_size,
		.max_block_count = BLOCK_COUNT_MOST,
		.max_block_size = BLOCK_SIZE_MOST,
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
	struct block_memory *memory, *next;
	struct ring *ring = channel->ring;

	/* DMA to it has ended in channel_remove(). */
	for (u32 i = 0; ring && i < ring->block_count; i++)
		memory_free(ring->block[i].memory);
	if (ring)
		compat_put_memcg(ring->memcg);
	kvfree(ring);
	list_for_each_entry_safe(memory, next, &channel->left, entry)
		memory_free(memory);
	class_put_number(dev->devt);
	mappings_destroy(&channel->mappings);
	mutex_destroy(&channel->mutex);
	kfree(channel);
}

static struct channel *allocate_channel(struct device *parent, const char *name)
{
	struct channel *channel = dmacast_fault() ? NULL : kzalloc(sizeof(*channel), GFP_KERNEL);
	int error;

	if (!channel)
		return ERR_PTR(-ENOMEM);
	error = class_take_number(&channel->dev.devt);
	if (error) {
		kfree(channel);
		return ERR_PTR(error);
	}
	mutex_init(&channel->mutex);
	mappings_init(&channel->mappings);
	INIT_LIST_HEAD(&channel->left);
	spin_lock_init(&channel->lock);
	spin_lock_init(&channel->feed_lock);
	init_waitqueue_head(&channel->wait);
	for (int state = 0; state < BLOCK_STATES; state++)
		INIT_LIST_HEAD(&channel->list[state]);
	INIT_DELAYED_WORK(&channel->guard_work, guard_work);
	device_initialize(&channel->dev);
	channel->dev.class = &dmacast_class;
	channel->dev.parent = parent;
	channel->dev.groups = channel_groups;
	channel->dev.release = channel_free;
	cdev_init(&channel->cdev, &channel_fops);
	channel->cdev.owner = THIS_MODULE;
	error = dmacast_fault() ? -ENOMEM : dev_set_name(&channel->dev, "%s", name);
	if (error) {
		put_device(&channel->dev);
		return ERR_PTR(error);
	}
	return channel;
}

struct channel *channel_create(struct device *parent, const char *name)
{
	struct channel *channel = allocate_channel(parent, name);
	int error;

	if (IS_ERR(channel)) {
		dev_err(parent, "cannot make /dev/dmacast/%s: %ld\n", name, PTR_ERR(channel));
		return channel;
	}
	error = engine_open(&channel->engine, parent);
	if (error)
		goto put;
	error = dmacast_fault() ? -ENOMEM : cdev_device_add(&channel->cdev, &channel->dev);
	if (error) {
		dev_err(parent, "cannot make /dev/dmacast/%s: %d\n", name, error);
		goto close;
	}
	dev_info(&channel->dev, "DMA channel %s of %s; %s%u bytes a segment%s\n",
		 dma_chan_name(channel->engine.chan),
		 dev_driver_string(channel->engine.chan->device->dev),
		 channel->engine.contiguous ? "contiguous blocks, " : "",
		 channel->engine.limits.max_segment_size,
		 channel->engine.asks_status ? ", asked for results" : "");
	return channel;
close:
	engine_close(&channel->engine);
put:
	put_device(&channel->dev);
	return ERR_PTR(error);
}

void channel_remove(struct channel *channel)
{
	struct ring *ring;

	cdev_device_del(&channel->cdev, &channel->dev);
	mutex_lock(&channel->mutex);
	if (channel->running)
		stop_engine(channel);
	spin_lock_irq(&channel->lock);
	channel->dead = true;
	spin_unlock_irq(&channel->lock);
	ring = channel->ring;
	for (u32 i = 0; ring && i < ring->block_count; i++)
		if (ring->block[i].state != BLOCK_QUEUED)
			memory_unmap(ring->block[i].memory, channel->engine.limits.dma_device);
	/* A provider may free what its engine still uses. */
	if (!channel->engine_stuck)
		engine_close(&channel->engine);
	mutex_unlock(&channel->mutex);
	cancel_delayed_work_sync(&channel->guard_work);
	wake_up_interruptible_all(&channel->wait);
	put_device(&channel->dev);
}
