// SPDX-License-Identifier: GPL-2.0-only
/*
 * dmacast_sim: a DMA engine in software, as a dmaengine provider like any other.
 *
 * Each channel fills the transfers that it is given with a checkable pattern, at a chosen rate:
 * the aligned 64-bit little-endian word at offset o of the channel's stream holds o. It writes to
 * the DMA addresses of the scatterlist, as hardware would, never to the pages behind it, so that a
 * client which forgets a dma_sync sees wrong data when its memory is bounced (swiotlb=force).
 *
 * A transfer goes through these hands, moved under the channel's lock:
 *
 *	tx_submit()	-> submitted	waits for issue_pending()
 *	issue_pending()	-> issued	waits for the channel's thread
 *	the thread	-> active	is being filled; one at a time
 *	the thread	-> done		waits for the tasklet, which calls the client and frees it
 *
 * terminate_all() frees all but the active one, which it marks as aborted: the thread frees that
 * one, and synchronize() waits until it has. A client is never called for either.
 *
 * Faults are injected through debugfs, /sys/kernel/debug/dmacast_sim/.
 *
 * The stream is continuous over transfers. A short transfer ends where the next one begins. A
 * failed one loses the data of its whole length, of which the first half is written.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "compat.h"

#define SIM_NAME	 "dmacast_sim"
#define SIM_MAX_CHANNELS 64
/* Outcomes of finished transfers that tx_status() can still tell; a power of two. */
#define SIM_OUTCOMES	 1024
/* So that a second of data, times the nanoseconds of a second, fits 64 bits. */
#define SIM_MAX_RATE	 10000000000ULL
/* What a channel may catch up with at once after it was late. */
#define SIM_MAX_BURST_NS (20 * NSEC_PER_MSEC)
/* The longest sleep, and so the longest that synchronize() waits. */
#define SIM_MAX_SLEEP_US 5000
#define SIM_MAX_DELAY_MS (3600 * MSEC_PER_SEC)
#define SIM_MAX_BURST	 256
#define SIM_WIDTHS	 (BIT(DMA_SLAVE_BUSWIDTH_1_BYTE) | BIT(DMA_SLAVE_BUSWIDTH_2_BYTES) | \
			  BIT(DMA_SLAVE_BUSWIDTH_4_BYTES) | BIT(DMA_SLAVE_BUSWIDTH_8_BYTES))

static unsigned int channels = 1;
module_param(channels, uint, 0444);
MODULE_PARM_DESC(channels, "Number of channels: dmacast.0/rx, dmacast.1/rx, ... (default 1)");

static unsigned long long rate = 100000000;
module_param(rate, ullong, 0444);
MODULE_PARM_DESC(rate, "Bytes per second of each channel; 0: as fast as it can (default 100000000)");

static unsigned int max_segment_size = 16 * 1024 * 1024;
module_param(max_segment_size, uint, 0444);
MODULE_PARM_DESC(max_segment_size, "Largest piece of a scatterlist, in bytes (default 16 MiB)");

static unsigned int max_segments;
module_param(max_segments, uint, 0444);
MODULE_PARM_DESC(max_segments, "Most pieces of a scatterlist; 0: any number (default 0)");

static bool contiguous;
module_param(contiguous, bool, 0444);
MODULE_PARM_DESC(contiguous, "Take one piece a transfer: the same as max_segments=1 (default no)");

static unsigned int dma_bits = 64;
module_param(dma_bits, uint, 0444);
MODULE_PARM_DESC(dma_bits, "Width of the DMA address, 24 to 64 bits (default 64)");

struct sim_segment {
	dma_addr_t address;
	u32 length;
};

struct sim_desc {
	struct dma_async_tx_descriptor tx;
	struct list_head node;
	u32 length;
	/* Faults, fixed when the transfer becomes active. */
	u32 extent;	/* of the stream; less than length: short */
	u32 written;	/* of these; less than extent: failed */
	bool unpaced;
	/* Set under the lock by whoever terminates the active transfer. */
	bool aborted;
	/* The thread's. */
	u32 done;
	unsigned int segment;
	u32 segment_done;
	struct dmaengine_result result;
	unsigned int segments;
	struct sim_segment segment_list[];
};

struct sim_outcome {
	dma_cookie_t cookie;
	enum dma_status status;
	u32 residue;
};

struct sim_chan {
	struct dma_chan chan;
	unsigned int index;
	struct dentry *debugfs;
	struct task_struct *thread;
	struct tasklet_struct tasklet;
	wait_queue_head_t work;		/* the thread waits for something to do */
	wait_queue_head_t aborted;	/* synchronize() waits for the thread */

	spinlock_t lock;		/* all below, and the cookies */
	bool dead;			/* the device is going or gone */
	bool paused;
	struct list_head submitted;
	struct list_head issued;
	struct list_head done;
	struct sim_desc *active;
	struct sim_outcome outcomes[SIM_OUTCOMES];
	u64 offset;
	u64 rate;
	u64 stall_until_ns;
	u64 error_next;
	u64 burst_next;
	u32 short_next;
	u32 short_bytes;
	u64 transfers;			/* all that finished, the next two included */
	u64 errors;
	u64 shorts;

	bool lossy;			/* written by debugfs */

	/*
	 * The thread's clock: what was due until then and is not used yet, in bytes * ns per
	 * second.
	 */
	u64 clock_ns;
	u64 credit;
};

/* Lives until its last user: the bound driver and each client that holds a channel. */
struct sim {
	struct dma_device dma;
	struct delayed_work free_work;
	struct dma_slave_map *map;
	char (*map_names)[16];
	unsigned int count;
	struct sim_chan channels[];
};

static struct platform_device *sim_pdev;
static struct workqueue_struct *sim_queue;
static struct dentry *sim_debugfs;
static struct dentry *sim_unplug_file;
static atomic_t sim_lingering = ATOMIC_INIT(0);
static unsigned int sim_plug_ms;

static struct sim_chan *to_sim_chan(struct dma_chan *chan)
{
	return container_of(chan, struct sim_chan, chan);
}

static struct sim_desc *to_sim_desc(struct dma_async_tx_descriptor *tx)
{
	return container_of(tx, struct sim_desc, tx);
}

/* The pattern */

static void sim_fill(u8 *to, size_t length, u64 offset)
{
	while (length > 0) {
		unsigned int within = offset % sizeof(u64);
		__le64 word = cpu_to_le64(offset - within);
		size_t n = min(length, sizeof(word) - within);

		if (n == sizeof(word))
			memcpy(to, &word, sizeof(word));
		else
			memcpy(to, (u8 *)&word + within, n);
		to += n;
		offset += n;
		length -= n;
	}
}

/*
 * Fill up to @length bytes from where the transfer is, within one page and one segment. Returns
 * how many, or 0 when the DMA address leads nowhere.
 */
static u32 sim_write(struct sim_chan *ch, struct sim_desc *desc, u32 length, u64 offset)
{
	struct sim_segment *segment = &desc->segment_list[desc->segment];
	phys_addr_t phys = dma_to_phys(ch->chan.device->dev,
				       segment->address + desc->segment_done);
	u32 in_page = offset_in_page(phys);
	u8 *page;

	if (!pfn_valid(PHYS_PFN(phys)))
		return 0;
	length = min3(length, segment->length - desc->segment_done, (u32)PAGE_SIZE - in_page);
	page = kmap_local_page(pfn_to_page(PHYS_PFN(phys)));
	sim_fill(page + in_page, length, offset);
	kunmap_local(page);

	desc->segment_done += length;
	if (desc->segment_done == segment->length) {
		desc->segment++;
		desc->segment_done = 0;
	}
	return length;
}

/* The clock */

static u64 sim_bytes(u64 ns, u64 bytes_per_s)
{
	u64 rest;
	u64 s = div64_u64_rem(ns, NSEC_PER_SEC, &rest);

	return s * bytes_per_s + div64_u64(rest * bytes_per_s, NSEC_PER_SEC);
}

/* The channel has work again after it had none: nothing is due yet. */
static void sim_clock_start(struct sim_chan *ch)
{
	u64 now = ktime_get_ns();
	unsigned long flags;

	if (READ_ONCE(ch->lossy)) {
		spin_lock_irqsave(&ch->lock, flags);
		ch->offset += round_down(sim_bytes(now - ch->clock_ns, ch->rate), sizeof(u64));
		spin_unlock_irqrestore(&ch->lock, flags);
	}
	ch->clock_ns = now;
	ch->credit = 0;
}

/*
 * How many of @wanted bytes are due now. When that is less than about a millisecond's worth,
 * return 0 and in *sleep_us how long to sleep before the next call.
 */
static u32 sim_clock_due(struct sim_chan *ch, u32 wanted, bool unpaced, unsigned int *sleep_us)
{
	u64 now = ktime_get_ns();
	u64 elapsed = now - ch->clock_ns;
	u64 bytes_per_s, stall_until_ns, cap, least, due, sleep_ns;
	unsigned long flags;

	spin_lock_irqsave(&ch->lock, flags);
	bytes_per_s = ch->rate;
	stall_until_ns = ch->stall_until_ns;
	spin_unlock_irqrestore(&ch->lock, flags);

	ch->clock_ns = now;
	if (now < stall_until_ns) {
		sleep_ns = stall_until_ns - now;
		goto sleep;
	}
	if (unpaced || bytes_per_s == 0) {
		ch->credit = 0;
		return wanted;
	}

	/* The bytes that are waited for, below, must fit under the cap whatever the rate. */
	cap = bytes_per_s * SIM_MAX_BURST_NS + 2 * sizeof(u64) * NSEC_PER_SEC;
	if (ch->credit >= cap || elapsed >= div64_u64(cap - ch->credit, bytes_per_s))
		ch->credit = cap;
	else
		ch->credit += elapsed * bytes_per_s;

	/* Whole words, so that a terminated transfer leaves the stream on a word's boundary. */
	least = max_t(u64, sizeof(u64),
		      round_down(div_u64(bytes_per_s, MSEC_PER_SEC), sizeof(u64)));
	least = min_t(u64, least, wanted);
	due = min_t(u64, div64_u64(ch->credit, NSEC_PER_SEC), wanted);
	if (due < wanted)
		due = round_down(due, sizeof(u64));
	if (due >= least) {
		ch->credit -= due * NSEC_PER_SEC;
		return due;
	}
	sleep_ns = div64_u64(least * NSEC_PER_SEC - ch->credit, bytes_per_s);
sleep:
	*sleep_us = clamp_t(u64, div_u64(sleep_ns, NSEC_PER_USEC), 20, SIM_MAX_SLEEP_US);
	return 0;
}

/* The thread */

static bool sim_has_work(struct sim_chan *ch)
{
	unsigned long flags;
	bool yes;

	spin_lock_irqsave(&ch->lock, flags);
	yes = !list_empty(&ch->issued);
	spin_unlock_irqrestore(&ch->lock, flags);
	return yes;
}

static bool sim_may_go_on(struct sim_chan *ch, struct sim_desc *desc)
{
	unsigned long flags;
	bool yes;

	spin_lock_irqsave(&ch->lock, flags);
	yes = !ch->paused || desc->aborted || ch->dead;
	spin_unlock_irqrestore(&ch->lock, flags);
	return yes;
}

static struct sim_desc *sim_next(struct sim_chan *ch)
{
	struct sim_desc *desc;
	unsigned long flags;

	spin_lock_irqsave(&ch->lock, flags);
	desc = list_first_entry_or_null(&ch->issued, struct sim_desc, node);
	if (desc) {
		list_del_init(&desc->node);
		desc->extent = desc->length;
		if (ch->short_next) {
			ch->short_next--;
			desc->extent = min(desc->length, ch->short_bytes);
		}
		desc->written = desc->extent;
		if (ch->error_next) {
			ch->error_next--;
			desc->extent = desc->length;
			desc->written = desc->length / 2;
		}
		if (ch->burst_next) {
			ch->burst_next--;
			desc->unpaced = true;
		}
		ch->active = desc;
	}
	spin_unlock_irqrestore(&ch->lock, flags);
	return desc;
}

/* Take @length bytes of the stream for the active transfer; false: it is aborted. */
static bool sim_take(struct sim_chan *ch, struct sim_desc *desc, u32 length, u64 *offset)
{
	unsigned long flags;
	bool yes;

	spin_lock_irqsave(&ch->lock, flags);
	yes = !desc->aborted;
	if (yes) {
		*offset = ch->offset;
		ch->offset += length;
	}
	spin_unlock_irqrestore(&ch->lock, flags);
	return yes;
}

/* Move @length bytes, page by page, and stop early when the transfer is aborted. */
static bool sim_move(struct sim_chan *ch, struct sim_desc *desc, u32 length)
{
	while (length > 0) {
		u32 n = min_t(u32, length, PAGE_SIZE);
		u32 written = 0;
		u64 offset;

		/* The part of a failed transfer that is lost. */
		if (desc->done < desc->written)
			n = min(n, desc->written - desc->done);
		if (!sim_take(ch, desc, n, &offset))
			return false;
		while (desc->done < desc->written && written < n) {
			u32 m = sim_write(ch, desc, n - written, offset + written);

			if (m == 0) {
				dev_err_ratelimited(ch->chan.device->dev,
						    "ch%u: no memory at a DMA address\n",
						    ch->index);
				desc->written = desc->done;
				break;
			}
			written += m;
		}
		/* Read by tx_status(). */
		WRITE_ONCE(desc->done, desc->done + n);
		length -= n;
		cond_resched();
	}
	return true;
}

static void sim_transfer(struct sim_chan *ch, struct sim_desc *desc)
{
	unsigned int sleep_us;
	u32 due;

	while (desc->done < desc->extent && !READ_ONCE(desc->aborted)) {
		if (READ_ONCE(ch->paused)) {
			wait_event_idle(ch->work, sim_may_go_on(ch, desc));
			ch->clock_ns = ktime_get_ns();
			continue;
		}
		due = sim_clock_due(ch, desc->extent - desc->done, desc->unpaced, &sleep_us);
		if (due == 0)
			usleep_range(sleep_us, sleep_us + sleep_us / 8 + 10);
		else if (!sim_move(ch, desc, due))
			return;
	}
}

static void sim_finish(struct sim_chan *ch, struct sim_desc *desc)
{
	bool failed = desc->written < desc->extent;
	struct sim_outcome *outcome;
	unsigned long flags;

	desc->result.result = failed ? DMA_TRANS_WRITE_FAILED : DMA_TRANS_NOERROR;
	desc->result.residue = desc->length - desc->written;

	spin_lock_irqsave(&ch->lock, flags);
	ch->active = NULL;
	if (desc->aborted) {
		spin_unlock_irqrestore(&ch->lock, flags);
		kfree(desc);
		wake_up_all(&ch->aborted);
		return;
	}
	ch->transfers++;
	ch->errors += failed;
	ch->shorts += desc->extent < desc->length;
	outcome = &ch->outcomes[desc->tx.cookie % SIM_OUTCOMES];
	outcome->cookie = desc->tx.cookie;
	outcome->status = failed ? DMA_ERROR : DMA_COMPLETE;
	outcome->residue = desc->result.residue;
	ch->chan.completed_cookie = desc->tx.cookie;
	list_add_tail(&desc->node, &ch->done);
	spin_unlock_irqrestore(&ch->lock, flags);

	tasklet_schedule(&ch->tasklet);
}

static int sim_thread(void *data)
{
	struct sim_chan *ch = data;
	struct sim_desc *desc;

	while (!kthread_should_stop()) {
		desc = sim_next(ch);
		if (!desc) {
			wait_event_idle(ch->work, kthread_should_stop() || sim_has_work(ch));
			sim_clock_start(ch);
			continue;
		}
		sim_transfer(ch, desc);
		sim_finish(ch, desc);
		cond_resched();
	}
	return 0;
}

/* The core's own helper for this is private to drivers/dma. */
static void sim_call_client(struct sim_desc *desc)
{
	struct dma_async_tx_descriptor *tx = &desc->tx;

	if (!(tx->flags & DMA_PREP_INTERRUPT))
		return;
	if (tx->callback_result)
		tx->callback_result(tx->callback_param, &desc->result);
	else if (tx->callback)
		tx->callback(tx->callback_param);
}

static void sim_tasklet(struct tasklet_struct *tasklet)
{
	struct sim_chan *ch = from_tasklet(ch, tasklet, tasklet);
	struct sim_desc *desc;
	unsigned long flags;

	for (;;) {
		spin_lock_irqsave(&ch->lock, flags);
		desc = list_first_entry_or_null(&ch->done, struct sim_desc, node);
		if (desc)
			list_del(&desc->node);
		spin_unlock_irqrestore(&ch->lock, flags);
		if (!desc)
			return;
		/* Without the lock: it may submit, or terminate all. */
		sim_call_client(desc);
		dma_descriptor_unmap(&desc->tx);
		kfree(desc);
	}
}

/* The provider's operations */

static dma_cookie_t sim_tx_submit(struct dma_async_tx_descriptor *tx)
{
	struct sim_chan *ch = to_sim_chan(tx->chan);
	dma_cookie_t cookie;
	unsigned long flags;

	spin_lock_irqsave(&ch->lock, flags);
	if (ch->dead) {
		spin_unlock_irqrestore(&ch->lock, flags);
		kfree(to_sim_desc(tx));
		return -ENODEV;
	}
	cookie = ch->chan.cookie == INT_MAX ? DMA_MIN_COOKIE : ch->chan.cookie + 1;
	ch->chan.cookie = cookie;
	tx->cookie = cookie;
	list_add_tail(&to_sim_desc(tx)->node, &ch->submitted);
	spin_unlock_irqrestore(&ch->lock, flags);
	return cookie;
}

static struct dma_async_tx_descriptor *
sim_prep_slave_sg(struct dma_chan *chan, struct scatterlist *sgl, unsigned int nents,
		  enum dma_transfer_direction direction, unsigned long flags, void *context)
{
	struct sim_chan *ch = to_sim_chan(chan);
	struct device *dev = chan->device->dev;
	struct scatterlist *sg;
	struct sim_desc *desc;
	u64 length = 0;
	unsigned int i;

	if (READ_ONCE(ch->dead))
		return NULL;
	if (direction != DMA_DEV_TO_MEM || nents == 0)
		return NULL;
	if (chan->device->max_sg_burst && nents > chan->device->max_sg_burst) {
		dev_err_ratelimited(dev, "ch%u: %u segments, at most %u are possible\n", ch->index,
				    nents, chan->device->max_sg_burst);
		return NULL;
	}

	desc = kzalloc(struct_size(desc, segment_list, nents), GFP_NOWAIT | __GFP_NOWARN);
	if (!desc)
		return NULL;
	for_each_sg(sgl, sg, nents, i) {
		struct sim_segment *segment = &desc->segment_list[i];

		segment->address = sg_dma_address(sg);
		segment->length = sg_dma_len(sg);
		length += segment->length;
		if (segment->length == 0 || segment->length > dma_get_max_seg_size(dev) ||
		    segment->address + segment->length - 1 > dma_get_mask(dev)) {
			dev_err_ratelimited(dev, "ch%u: segment %u: %u bytes are too many, or out of reach\n",
					    ch->index, i, segment->length);
			goto free;
		}
	}
	if (length > U32_MAX) {
		dev_err_ratelimited(dev, "ch%u: %llu bytes are too many\n", ch->index, length);
		goto free;
	}

	desc->length = length;
	desc->segments = nents;
	dma_async_tx_descriptor_init(&desc->tx, chan);
	desc->tx.tx_submit = sim_tx_submit;
	desc->tx.flags = flags;
	desc->tx.cookie = -EBUSY;
	return &desc->tx;
free:
	kfree(desc);
	return NULL;
}

static int sim_config(struct dma_chan *chan, struct dma_slave_config *config)
{
	if (config->src_addr_width != DMA_SLAVE_BUSWIDTH_UNDEFINED &&
	    (config->src_addr_width >= BITS_PER_LONG ||
	     !(BIT(config->src_addr_width) & SIM_WIDTHS)))
		return -EINVAL;
	if (config->src_maxburst > SIM_MAX_BURST)
		return -EINVAL;
	return 0;
}

static void sim_issue_pending(struct dma_chan *chan)
{
	struct sim_chan *ch = to_sim_chan(chan);
	unsigned long flags;

	spin_lock_irqsave(&ch->lock, flags);
	list_splice_tail_init(&ch->submitted, &ch->issued);
	spin_unlock_irqrestore(&ch->lock, flags);
	wake_up(&ch->work);
}

/* Bytes that the transfer @cookie still lacks; the lock is held. */
static u32 sim_residue(struct sim_chan *ch, dma_cookie_t cookie)
{
	struct sim_desc *desc = ch->active;

	if (desc && desc->tx.cookie == cookie)
		return desc->length - min(READ_ONCE(desc->done), desc->written);
	list_for_each_entry(desc, &ch->issued, node)
		if (desc->tx.cookie == cookie)
			return desc->length;
	list_for_each_entry(desc, &ch->submitted, node)
		if (desc->tx.cookie == cookie)
			return desc->length;
	return 0;
}

static enum dma_status sim_tx_status(struct dma_chan *chan, dma_cookie_t cookie,
				     struct dma_tx_state *state)
{
	struct sim_chan *ch = to_sim_chan(chan);
	struct sim_outcome *outcome = &ch->outcomes[(u32)cookie % SIM_OUTCOMES];
	enum dma_status status;
	unsigned long flags;
	u32 residue = 0;

	spin_lock_irqsave(&ch->lock, flags);
	status = dma_async_is_complete(cookie, chan->completed_cookie, chan->cookie);
	if (cookie >= DMA_MIN_COOKIE && outcome->cookie == cookie) {
		status = outcome->status;
		residue = outcome->residue;
	} else if (status == DMA_IN_PROGRESS) {
		residue = sim_residue(ch, cookie);
		if (ch->paused)
			status = DMA_PAUSED;
	}
	if (state) {
		state->last = chan->completed_cookie;
		state->used = chan->cookie;
		state->residue = residue;
		state->in_flight_bytes = 0;
	}
	spin_unlock_irqrestore(&ch->lock, flags);
	return status;
}

static int sim_pause(struct dma_chan *chan)
{
	struct sim_chan *ch = to_sim_chan(chan);
	unsigned long flags;

	spin_lock_irqsave(&ch->lock, flags);
	ch->paused = true;
	spin_unlock_irqrestore(&ch->lock, flags);
	return 0;
}

static int sim_resume(struct dma_chan *chan)
{
	struct sim_chan *ch = to_sim_chan(chan);
	unsigned long flags;

	spin_lock_irqsave(&ch->lock, flags);
	ch->paused = false;
	spin_unlock_irqrestore(&ch->lock, flags);
	wake_up(&ch->work);
	return 0;
}

static int sim_terminate_all(struct dma_chan *chan)
{
	struct sim_chan *ch = to_sim_chan(chan);
	struct sim_desc *desc, *next;
	unsigned long flags;
	LIST_HEAD(dropped);

	spin_lock_irqsave(&ch->lock, flags);
	list_splice_tail_init(&ch->submitted, &dropped);
	list_splice_tail_init(&ch->issued, &dropped);
	list_splice_tail_init(&ch->done, &dropped);
	if (ch->active)
		WRITE_ONCE(ch->active->aborted, true);
	ch->paused = false;
	spin_unlock_irqrestore(&ch->lock, flags);

	wake_up(&ch->work);
	list_for_each_entry_safe(desc, next, &dropped, node)
		kfree(desc);
	return 0;
}

static bool sim_is_aborting(struct sim_chan *ch)
{
	unsigned long flags;
	bool yes;

	spin_lock_irqsave(&ch->lock, flags);
	yes = ch->active && ch->active->aborted;
	spin_unlock_irqrestore(&ch->lock, flags);
	return yes;
}

static void sim_synchronize(struct dma_chan *chan)
{
	struct sim_chan *ch = to_sim_chan(chan);

	wait_event(ch->aborted, !sim_is_aborting(ch));
	/* Waits for a callback that runs; but what is scheduled meanwhile is forgotten. */
	tasklet_kill(&ch->tasklet);
	tasklet_schedule(&ch->tasklet);
}

static int sim_alloc_chan_resources(struct dma_chan *chan)
{
	return READ_ONCE(to_sim_chan(chan)->dead) ? -ENODEV : 0;
}

static void sim_free_chan_resources(struct dma_chan *chan)
{
	sim_terminate_all(chan);
	sim_synchronize(chan);
}

static bool sim_filter(struct dma_chan *chan, void *param)
{
	return to_sim_chan(chan)->index == (uintptr_t)param;
}

/* debugfs */

static int sim_rate_get(void *data, u64 *value)
{
	struct sim_chan *ch = data;

	*value = ch->rate;
	return 0;
}

static int sim_rate_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	if (value > SIM_MAX_RATE)
		return -ERANGE;
	spin_lock_irq(&ch->lock);
	ch->rate = value;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_rate_fops, sim_rate_get, sim_rate_set, "%llu\n");

static int sim_offset_get(void *data, u64 *value)
{
	struct sim_chan *ch = data;

	spin_lock_irq(&ch->lock);
	*value = ch->offset;
	spin_unlock_irq(&ch->lock);
	return 0;
}

static int sim_offset_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	spin_lock_irq(&ch->lock);
	ch->offset = value;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_offset_fops, sim_offset_get, sim_offset_set, "%llu\n");

static int sim_error_get(void *data, u64 *value)
{
	struct sim_chan *ch = data;

	*value = ch->error_next;
	return 0;
}

static int sim_error_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	spin_lock_irq(&ch->lock);
	ch->error_next = value;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_error_fops, sim_error_get, sim_error_set, "%llu\n");

static int sim_burst_get(void *data, u64 *value)
{
	struct sim_chan *ch = data;

	*value = ch->burst_next;
	return 0;
}

static int sim_burst_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	spin_lock_irq(&ch->lock);
	ch->burst_next = value;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_burst_fops, sim_burst_get, sim_burst_set, "%llu\n");

static int sim_stall_set(void *data, u64 value)
{
	struct sim_chan *ch = data;

	if (value > SIM_MAX_DELAY_MS)
		return -ERANGE;
	spin_lock_irq(&ch->lock);
	ch->stall_until_ns = ktime_get_ns() + value * NSEC_PER_MSEC;
	spin_unlock_irq(&ch->lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_stall_fops, NULL, sim_stall_set, "%llu\n");

static ssize_t sim_short_read(struct file *file, char __user *buffer, size_t size, loff_t *pos)
{
	struct sim_chan *ch = file->private_data;
	char text[32];
	int n;

	spin_lock_irq(&ch->lock);
	n = scnprintf(text, sizeof(text), "%u %u\n", ch->short_next, ch->short_bytes);
	spin_unlock_irq(&ch->lock);
	return simple_read_from_buffer(buffer, size, pos, text, n);
}

static ssize_t sim_short_write(struct file *file, const char __user *buffer, size_t size,
			       loff_t *pos)
{
	struct sim_chan *ch = file->private_data;
	unsigned int count, bytes;
	char text[32];

	if (size >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buffer, size))
		return -EFAULT;
	text[size] = '\0';
	if (sscanf(text, "%u %u", &count, &bytes) != 2)
		return -EINVAL;
	spin_lock_irq(&ch->lock);
	ch->short_next = count;
	ch->short_bytes = bytes;
	spin_unlock_irq(&ch->lock);
	return size;
}

static const struct file_operations sim_short_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = sim_short_read,
	.write = sim_short_write,
};

static void sim_chan_debugfs(struct sim_chan *ch, struct dentry *parent)
{
	struct dentry *dir;
	char name[16];

	snprintf(name, sizeof(name), "ch%u", ch->index);
	dir = debugfs_create_dir(name, parent);
	ch->debugfs = dir;
	debugfs_create_file("rate", 0600, dir, ch, &sim_rate_fops);
	debugfs_create_file("offset", 0600, dir, ch, &sim_offset_fops);
	debugfs_create_file("error", 0600, dir, ch, &sim_error_fops);
	debugfs_create_file("short", 0600, dir, ch, &sim_short_fops);
	debugfs_create_file("burst", 0600, dir, ch, &sim_burst_fops);
	debugfs_create_file("stall", 0200, dir, ch, &sim_stall_fops);
	debugfs_create_bool("lossy", 0600, dir, &ch->lossy);
	debugfs_create_u64("transfers", 0400, dir, &ch->transfers);
	debugfs_create_u64("errors", 0400, dir, &ch->errors);
	debugfs_create_u64("shorts", 0400, dir, &ch->shorts);
}

/* The device */

static void sim_free(struct sim *sim)
{
	kfree(sim->map);
	kfree(sim->map_names);
	kvfree(sim);
}

static void sim_free_work(struct work_struct *work)
{
	sim_free(container_of(to_delayed_work(work), struct sim, free_work));
	atomic_dec(&sim_lingering);
}

/*
 * The last user of the DMA device is gone. That may be a client in dma_release_channel(), which
 * still looks at the channel and its device after this: give it time.
 */
static void sim_release(struct dma_device *dma)
{
	struct sim *sim = container_of(dma, struct sim, dma);
	unsigned int i;

	for (i = 0; i < sim->count; i++)
		put_device(&sim->channels[i].chan.dev->device);
	queue_delayed_work(sim_queue, &sim->free_work, HZ);
}

/* No channel does anything after this, whatever its client calls. */
static void sim_stop_channels(struct sim *sim)
{
	unsigned int i;

	for (i = 0; i < sim->count; i++) {
		struct sim_chan *ch = &sim->channels[i];

		spin_lock_irq(&ch->lock);
		ch->dead = true;
		spin_unlock_irq(&ch->lock);
		sim_terminate_all(&ch->chan);
		if (ch->thread)
			kthread_stop(ch->thread);
		tasklet_kill(&ch->tasklet);
	}
}

static int sim_start_channels(struct sim *sim)
{
	unsigned int i;

	for (i = 0; i < sim->count; i++) {
		struct sim_chan *ch = &sim->channels[i];
		struct task_struct *thread;

		thread = kthread_run(sim_thread, ch, SIM_NAME "/%u", i);
		if (IS_ERR(thread))
			return PTR_ERR(thread);
		ch->thread = thread;
	}
	return 0;
}

static void sim_init_channel(struct sim *sim, unsigned int index)
{
	struct sim_chan *ch = &sim->channels[index];

	ch->index = index;
	ch->rate = rate;
	ch->clock_ns = ktime_get_ns();
	spin_lock_init(&ch->lock);
	INIT_LIST_HEAD(&ch->submitted);
	INIT_LIST_HEAD(&ch->issued);
	INIT_LIST_HEAD(&ch->done);
	init_waitqueue_head(&ch->work);
	init_waitqueue_head(&ch->aborted);
	tasklet_setup(&ch->tasklet, sim_tasklet);

	ch->chan.device = &sim->dma;
	ch->chan.cookie = DMA_MIN_COOKIE;
	ch->chan.completed_cookie = DMA_MIN_COOKIE;
	list_add_tail(&ch->chan.device_node, &sim->dma.channels);

	snprintf(sim->map_names[index], sizeof(sim->map_names[index]), "dmacast.%u", index);
	sim->map[index].devname = sim->map_names[index];
	sim->map[index].slave = "rx";
	sim->map[index].param = (void *)(uintptr_t)index;
}

static void sim_init_dma(struct sim *sim, struct device *dev)
{
	struct dma_device *dma = &sim->dma;

	INIT_LIST_HEAD(&dma->channels);
	dma->dev = dev;
	dma_cap_set(DMA_SLAVE, dma->cap_mask);
	dma_cap_set(DMA_PRIVATE, dma->cap_mask);
	dma->src_addr_widths = SIM_WIDTHS;
	dma->dst_addr_widths = SIM_WIDTHS;
	dma->directions = BIT(DMA_DEV_TO_MEM);
	dma->min_burst = 1;
	dma->max_burst = SIM_MAX_BURST;
	dma->max_sg_burst = contiguous ? 1 : max_segments;
	dma->residue_granularity = DMA_RESIDUE_GRANULARITY_BURST;
	dma->filter.fn = sim_filter;
	dma->filter.map = sim->map;
	dma->filter.mapcnt = sim->count;
	dma->device_alloc_chan_resources = sim_alloc_chan_resources;
	dma->device_free_chan_resources = sim_free_chan_resources;
	dma->device_prep_slave_sg = sim_prep_slave_sg;
	dma->device_config = sim_config;
	dma->device_issue_pending = sim_issue_pending;
	dma->device_tx_status = sim_tx_status;
	dma->device_pause = sim_pause;
	dma->device_resume = sim_resume;
	dma->device_terminate_all = sim_terminate_all;
	dma->device_synchronize = sim_synchronize;
	dma->device_release = sim_release;
}

static int sim_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct sim *sim;
	unsigned int i;
	int ret;

	ret = dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(dma_bits));
	if (ret)
		return ret;
	dma_set_max_seg_size(dev, max_segment_size);
#if defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE) || defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU)
	/* It is the CPU that writes, through its caches. */
	dev->dma_coherent = true;
#endif

	sim = kvzalloc(struct_size(sim, channels, channels), GFP_KERNEL);
	if (!sim)
		return -ENOMEM;
	sim->count = channels;
	INIT_DELAYED_WORK(&sim->free_work, sim_free_work);
	sim->map = kcalloc(channels, sizeof(*sim->map), GFP_KERNEL);
	sim->map_names = kcalloc(channels, sizeof(*sim->map_names), GFP_KERNEL);
	if (!sim->map || !sim->map_names) {
		ret = -ENOMEM;
		goto free;
	}
	sim_init_dma(sim, dev);
	for (i = 0; i < sim->count; i++)
		sim_init_channel(sim, i);

	ret = sim_start_channels(sim);
	if (ret)
		goto stop;
	ret = dma_async_device_register(&sim->dma);
	if (ret)
		goto stop;
	/* A client that outlives the device still looks at these. */
	for (i = 0; i < sim->count; i++)
		get_device(&sim->channels[i].chan.dev->device);
	atomic_inc(&sim_lingering);

	for (i = 0; i < sim->count; i++)
		sim_chan_debugfs(&sim->channels[i], sim_debugfs);
	platform_set_drvdata(pdev, sim);
	dev_info(dev, "%u channels, %llu bytes/s each\n", sim->count, rate);
	return 0;
stop:
	sim_stop_channels(sim);
free:
	sim_free(sim);
	return ret;
}

static void sim_remove(struct platform_device *pdev)
{
	struct sim *sim = platform_get_drvdata(pdev);
	unsigned int i;

	for (i = 0; i < sim->count; i++)
		debugfs_remove_recursive(sim->channels[i].debugfs);
	sim_stop_channels(sim);
	/* Frees it all with the last client. */
	dma_async_device_unregister(&sim->dma);
}

COMPAT_DEFINE_PLATFORM_REMOVE(sim_remove)

static struct platform_driver sim_driver = {
	.driver = {
		.name = SIM_NAME,
	},
	.probe = sim_probe,
	COMPAT_PLATFORM_REMOVE(sim_remove),
};

/* Hot-unplug */

static void sim_plug_work(struct work_struct *work)
{
	int ret = device_attach(&sim_pdev->dev);

	if (ret != 1)
		dev_err(&sim_pdev->dev, "plugging in again failed: %d\n", ret);
}

static DECLARE_DELAYED_WORK(sim_plug, sim_plug_work);

static void sim_unplug_work(struct work_struct *work)
{
	unsigned int ms = READ_ONCE(sim_plug_ms);

	/* Unbinds the clients first: they have a device link to this device. */
	device_release_driver(&sim_pdev->dev);
	if (ms > 0)
		queue_delayed_work(sim_queue, &sim_plug, msecs_to_jiffies(ms));
}

static DECLARE_WORK(sim_unplug, sim_unplug_work);

static int sim_unplug_set(void *data, u64 value)
{
	if (value > SIM_MAX_DELAY_MS)
		return -ERANGE;
	WRITE_ONCE(sim_plug_ms, value);
	/* Not from here: it removes files of this filesystem, and waits for their users. */
	return queue_work(sim_queue, &sim_unplug) ? 0 : -EBUSY;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_unplug_fops, NULL, sim_unplug_set, "%llu\n");

static int __init sim_check_parameters(void)
{
	if (channels == 0 || channels > SIM_MAX_CHANNELS) {
		pr_err(SIM_NAME ": channels=%u: from 1 to %u are possible\n", channels,
		       SIM_MAX_CHANNELS);
		return -EINVAL;
	}
	if (rate > SIM_MAX_RATE) {
		pr_err(SIM_NAME ": rate=%llu: at most %llu is possible\n", rate, SIM_MAX_RATE);
		return -EINVAL;
	}
	if (max_segment_size == 0) {
		pr_err(SIM_NAME ": max_segment_size=0 is impossible\n");
		return -EINVAL;
	}
	if (contiguous && max_segments > 1) {
		pr_err(SIM_NAME ": contiguous and max_segments=%u contradict each other\n",
		       max_segments);
		return -EINVAL;
	}
	if (dma_bits < 24 || dma_bits > 64) {
		pr_err(SIM_NAME ": dma_bits=%u: from 24 to 64 are possible\n", dma_bits);
		return -EINVAL;
	}
	return 0;
}

static int __init sim_init(void)
{
	int ret;

	ret = sim_check_parameters();
	if (ret)
		return ret;
	sim_queue = alloc_workqueue(SIM_NAME, WQ_UNBOUND, 0);
	if (!sim_queue)
		return -ENOMEM;
	sim_debugfs = debugfs_create_dir(SIM_NAME, NULL);
	ret = platform_driver_register(&sim_driver);
	if (ret)
		goto remove_debugfs;
	sim_pdev = platform_device_register_simple(SIM_NAME, 0, NULL, 0);
	if (IS_ERR(sim_pdev)) {
		ret = PTR_ERR(sim_pdev);
		goto unregister_driver;
	}
	sim_unplug_file = debugfs_create_file("unplug", 0200, sim_debugfs, NULL, &sim_unplug_fops);
	return 0;
unregister_driver:
	platform_driver_unregister(&sim_driver);
remove_debugfs:
	debugfs_remove_recursive(sim_debugfs);
	destroy_workqueue(sim_queue);
	return ret;
}

static void __exit sim_exit(void)
{
	/* In the order in which one starts the next. */
	debugfs_remove(sim_unplug_file);
	cancel_work_sync(&sim_unplug);
	cancel_delayed_work_sync(&sim_plug);
	platform_device_unregister(sim_pdev);
	platform_driver_unregister(&sim_driver);
	debugfs_remove_recursive(sim_debugfs);
	while (atomic_read(&sim_lingering) > 0)
		msleep(20);
	destroy_workqueue(sim_queue);
}

module_init(sim_init);
module_exit(sim_exit);

MODULE_AUTHOR("dmacast developers");
MODULE_DESCRIPTION("DMA engine in software, for dmacast without hardware");
MODULE_LICENSE("GPL");
