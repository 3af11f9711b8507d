// SPDX-License-Identifier: GPL-2.0-only
/*
 * The work of a channel: the pattern, the clock that paces it, the thread that fills transfers, and
 * the tasklet that calls the clients.
 */
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/dma-direct.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "compat.h"
#include "sim.h"

/* Longest delay that a channel catches up with at once. */
#define SIM_MAX_BURST_NS (20 * NSEC_PER_MSEC)
/* Longest sleep, and therefore the longest wait of synchronize(). */
#define SIM_MAX_SLEEP_US 5000

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
 * Fill up to @length bytes at the current position of the transfer, within one page and one
 * segment. Return their number, or 0 if no memory is at the DMA address.
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

/* Restart the clock when the channel gets work after a pause: nothing is due yet. */
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
 * Return the number of bytes, of @wanted, that are due now. If that is less than about a
 * millisecond of data, return 0, and in *sleep_us the time to sleep before the next call.
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

	/* `least`, below, must not exceed the cap at any rate. */
	cap = bytes_per_s * SIM_MAX_BURST_NS + 2 * sizeof(u64) * NSEC_PER_SEC;
	if (ch->credit >= cap || elapsed >= div64_u64(cap - ch->credit, bytes_per_s))
		ch->credit = cap;
	else
		ch->credit += elapsed * bytes_per_s;

	/* Whole words: a terminated transfer must leave the stream at a word boundary. */
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
		desc->written = desc->length;
		if (ch->error_next) {
			ch->error_next--;
			desc->written = desc->length / 2;
		} else if (ch->short_next) {
			ch->short_next--;
			desc->extent = min(desc->length, ch->short_bytes);
			desc->written = desc->extent;
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

/* Take @length bytes of the stream for the active transfer. Return false if it is aborted. */
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

/* Move @length bytes, page by page. Return false as soon as the transfer is aborted. */
static bool sim_move(struct sim_chan *ch, struct sim_desc *desc, u32 length)
{
	while (length > 0) {
		u32 n = min_t(u32, length, PAGE_SIZE);
		u32 written = 0;
		u64 offset;

		/* Beyond `written` the data of a failed transfer is lost. */
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

/* Call the client's callback. The core's own helper is private to drivers/dma. */
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

/* Call the client of a finished transfer, then free the transfer. */
static void sim_release_desc(struct sim_desc *desc)
{
	sim_call_client(desc);
	dma_descriptor_unmap(&desc->tx);
	kfree(desc);
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
	if (!ch->late_ms)
		list_add_tail(&desc->node, &ch->done);
	spin_unlock_irqrestore(&ch->lock, flags);

	if (ch->late_ms) {
		/* Act like a preempted threaded interrupt: not asleep, the transfer in no list. */
		mdelay(ch->late_ms);
		sim_release_desc(desc);
	} else {
		tasklet_schedule(&ch->tasklet);
	}
}

int dmacast_sim_thread(void *data)
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

void dmacast_sim_tasklet(struct tasklet_struct *tasklet)
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
		/* Without the lock: the client may submit or terminate. */
		sim_release_desc(desc);
	}
}
