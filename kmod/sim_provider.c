// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations of the dmaengine provider. Clients call them in any context.
 */
#include <linux/bits.h>
#include <linux/dma-mapping.h>
#include <linux/limits.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "sim.h"

#define SIM_MAX_BURST	 256
#define SIM_WIDTHS	 (BIT(DMA_SLAVE_BUSWIDTH_1_BYTE) | BIT(DMA_SLAVE_BUSWIDTH_2_BYTES) | \
			  BIT(DMA_SLAVE_BUSWIDTH_4_BYTES) | BIT(DMA_SLAVE_BUSWIDTH_8_BYTES))

/*
 * Submit a descriptor. Terminating a channel of a provider based on virt-dma also frees descriptors
 * that are prepared and not yet submitted. This provider warns about such a use after free.
 */
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
	WARN_ONCE(to_sim_desc(tx)->terminations != ch->terminations,
		  "ch%u: descriptor submitted after its termination\n", ch->index);
	cookie = ch->chan.cookie == INT_MAX ? DMA_MIN_COOKIE : ch->chan.cookie + 1;
	ch->chan.cookie = cookie;
	tx->cookie = cookie;
	list_add_tail(&to_sim_desc(tx)->node, &ch->submitted);
	spin_unlock_irqrestore(&ch->lock, flags);
	return cookie;
}

static void sim_count_refused(struct sim_chan *ch)
{
	unsigned long flags;

	spin_lock_irqsave(&ch->lock, flags);
	ch->refused++;
	spin_unlock_irqrestore(&ch->lock, flags);
}

static bool sim_crosses_boundary(struct device *dev, const struct sim_segment *segment)
{
	u64 mask = dma_get_seg_boundary(dev);

	return (segment->address & mask) + segment->length - 1 > mask;
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
		dev_err_ratelimited(dev, "ch%u: %u segments: must be at most %u\n", ch->index,
				    nents, chan->device->max_sg_burst);
		sim_count_refused(ch);
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
		    segment->address + segment->length - 1 >
			    min_not_zero(dma_get_mask(dev), dev->bus_dma_limit)) {
			dev_err_ratelimited(dev, "ch%u: segment %u: %u bytes: too many or out of reach\n",
					    ch->index, i, segment->length);
			goto refuse;
		}
		if (sim_crosses_boundary(dev, segment)) {
			dev_err_ratelimited(dev, "ch%u: segment %u: crosses a boundary\n",
					    ch->index, i);
			goto refuse;
		}
	}
	if (length > U32_MAX) {
		dev_err_ratelimited(dev, "ch%u: %llu bytes: too many\n", ch->index, length);
		goto refuse;
	}

	desc->length = length;
	desc->segments = nents;
	dma_async_tx_descriptor_init(&desc->tx, chan);
	desc->tx.tx_submit = sim_tx_submit;
	desc->tx.flags = flags;
	desc->tx.cookie = -EBUSY;
	desc->terminations = READ_ONCE(ch->terminations);
	return &desc->tx;
refuse:
	sim_count_refused(ch);
	kfree(desc);
	return NULL;
}

static int sim_config(struct dma_chan *chan, struct dma_slave_config *config)
{
	enum dma_slave_buswidth width = config->src_addr_width;

	if (width != DMA_SLAVE_BUSWIDTH_UNDEFINED &&
	    (width > DMA_SLAVE_BUSWIDTH_8_BYTES || !(BIT(width) & SIM_WIDTHS)))
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

/* Return the number of bytes that the transfer @cookie lacks. The lock is held. */
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

int dmacast_sim_terminate_all(struct dma_chan *chan)
{
	struct sim_chan *ch = to_sim_chan(chan);
	struct sim_desc *desc, *next;
	unsigned long flags;
	LIST_HEAD(dropped);

	spin_lock_irqsave(&ch->lock, flags);
	WRITE_ONCE(ch->terminations, ch->terminations + 1);
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
	/* tasklet_kill() waits for a running callback, but drops what is scheduled meanwhile. */
	tasklet_kill(&ch->tasklet);
	tasklet_schedule(&ch->tasklet);
}

static bool sim_refuses_to_terminate(struct sim_chan *ch)
{
	unsigned long flags;
	bool refuses;

	spin_lock_irqsave(&ch->lock, flags);
	refuses = ch->terminate_error;
	ch->terminate_error -= refuses;
	spin_unlock_irqrestore(&ch->lock, flags);
	return refuses;
}

/* terminate_all() for clients. Context: any; may sleep with the parameter `late`. */
static int sim_client_terminates(struct dma_chan *chan)
{
	struct sim_chan *ch = to_sim_chan(chan);
	int ret;

	if (sim_refuses_to_terminate(ch))
		return -EIO;
	ret = dmacast_sim_terminate_all(chan);
	/* Without device_synchronize() no byte may be written from here on. */
	if (ch->late_ms)
		wait_event(ch->aborted, !sim_is_aborting(ch));
	return ret;
}

static int sim_alloc_chan_resources(struct dma_chan *chan)
{
	return READ_ONCE(to_sim_chan(chan)->dead) ? -ENODEV : 0;
}

static void sim_free_chan_resources(struct dma_chan *chan)
{
	dmacast_sim_terminate_all(chan);
	sim_synchronize(chan);
}

static bool sim_filter(struct dma_chan *chan, void *param)
{
	return to_sim_chan(chan)->index == (uintptr_t)param;
}

void dmacast_sim_provider_init(struct dma_device *dma, bool late)
{
	dma_cap_set(DMA_SLAVE, dma->cap_mask);
	dma_cap_set(DMA_PRIVATE, dma->cap_mask);
	dma->src_addr_widths = SIM_WIDTHS;
	dma->dst_addr_widths = SIM_WIDTHS;
	dma->directions = BIT(DMA_DEV_TO_MEM);
	dma->min_burst = 1;
	dma->max_burst = SIM_MAX_BURST;
	dma->residue_granularity = DMA_RESIDUE_GRANULARITY_BURST;
	dma->filter.fn = sim_filter;
	dma->device_alloc_chan_resources = sim_alloc_chan_resources;
	dma->device_free_chan_resources = sim_free_chan_resources;
	dma->device_prep_slave_sg = sim_prep_slave_sg;
	dma->device_config = sim_config;
	dma->device_issue_pending = sim_issue_pending;
	dma->device_tx_status = sim_tx_status;
	dma->device_pause = sim_pause;
	dma->device_resume = sim_resume;
	dma->device_terminate_all = sim_client_terminates;
	if (!late)
		dma->device_synchronize = sim_synchronize;
}
