// SPDX-License-Identifier: GPL-2.0-only
#include "engine.h"

#include "compat.h"
#include "fault.h"

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/moduleparam.h>
#include <linux/preempt.h>
#include <linux/property.h>
#include <linux/ratelimit.h>
#include <linux/rcupdate.h>

/* Name of the DMA channel in dma-names and in the provider's slave map. */
#define CHANNEL_NAME "rx"

static bool ask_status;
module_param(ask_status, bool, 0444);
MODULE_PARM_DESC(ask_status,
		 "Get the outcome of transfers from tx_status instead of callback_result, for every DMA engine; short transfers are then noticed later or not at all");

/* Properties of some engines' drivers that no dmaengine capability shows. */
struct engine_quirk {
	const char *driver;
	/*
	 * The driver reuses descriptors together with their callback_result. It may therefore call
	 * that of a former transfer: for a block that is not finished, or after the module is gone.
	 * It never does so with `callback`. tx_status() gives the outcome for such an engine, but
	 * not for all: some, such as xilinx_dma, report short transfers only by callback_result.
	 */
	bool stale_results;
};

static const struct engine_quirk engine_quirks[] = {
	{ .driver = "dma-pl330", .stale_results = true },
};

static bool engine_has_stale_results(const struct device *dma_device)
{
	const char *driver = dev_driver_string(dma_device);

	for (size_t i = 0; i < ARRAY_SIZE(engine_quirks); i++) {
		if (!strcmp(driver, engine_quirks[i].driver))
			return engine_quirks[i].stale_results;
	}
	return false;
}

static void engine_read_limits(struct engine *engine, struct device *device,
			       const struct dma_slave_caps *caps)
{
	struct device *dma_device = dmaengine_get_dma_device(engine->chan);
	size_t segment = dma_get_max_seg_size(dma_device);

	/* swiotlb limits the size of a mapping and therefore of a segment. */
	segment = min(segment, dma_max_mapping_size(dma_device));
	engine->limits = (struct memory_limits){
		.dma_device = dma_device,
		.max_segments = caps->max_sg_burst,
		.max_segment_size = min_t(size_t, segment, UINT_MAX),
		.segment_boundary = dma_get_seg_boundary(dma_device),
	};
	engine->contiguous = caps->max_sg_burst == 1 ||
			     device_property_read_bool(device, "dmacast,contiguous");
	engine->knows_residue = caps->residue_granularity != DMA_RESIDUE_GRANULARITY_DESCRIPTOR;
	engine->asks_status = ask_status || engine_has_stale_results(engine->chan->device->dev);
}

/* Configure the channel if the device has such properties; most providers need none. */
static int engine_configure(struct engine *engine, struct device *device)
{
	struct dma_slave_config config = { .direction = DMA_DEV_TO_MEM };
	u32 width = 0, burst = 0, address[2];
	bool has_address = true;

	device_property_read_u32(device, "dmacast,bus-width", &width);
	device_property_read_u32(device, "dmacast,burst", &burst);
	if (!device_property_read_u32_array(device, "dmacast,source-address", address, 2))
		config.src_addr = (phys_addr_t)((u64)address[0] << 32 | address[1]);
	else if (!device_property_read_u32(device, "dmacast,source-address", address))
		config.src_addr = address[0];
	else
		has_address = false;
	if (!width && !burst && !has_address)
		return 0;
	config.src_addr_width = width;
	config.src_maxburst = burst;
	if (dmacast_fault())
		return -ENOMEM;
	return dmaengine_slave_config(engine->chan, &config);
}

static int engine_check(const struct engine *engine, struct device *device,
			const struct dma_slave_caps *caps)
{
	if (!(caps->directions & BIT(DMA_DEV_TO_MEM))) {
		dev_err(device, "DMA channel %s does not transfer from a device to memory\n",
			dma_chan_name(engine->chan));
		return -EINVAL;
	}
	if (!caps->cmd_terminate) {
		dev_err(device, "DMA channel %s cannot be stopped (no terminate_all)\n",
			dma_chan_name(engine->chan));
		return -EINVAL;
	}
	return 0;
}

static int engine_set_up(struct engine *engine, struct device *device)
{
	struct dma_slave_caps caps;
	int error = dma_get_slave_caps(engine->chan, &caps);

	if (error) {
		dev_err(device, "DMA channel %s is not a slave channel: %d\n",
			dma_chan_name(engine->chan), error);
		return error;
	}
	error = engine_check(engine, device, &caps);
	if (error)
		return error;
	error = engine_configure(engine, device);
	if (error) {
		dev_err(device,
			"DMA channel %s refuses dmacast,bus-width, dmacast,burst or dmacast,source-address: %d\n",
			dma_chan_name(engine->chan), error);
		return error;
	}
	engine_read_limits(engine, device, &caps);
	return 0;
}

static struct dma_chan *engine_request(struct device *device)
{
	static DEFINE_RATELIMIT_STATE(say, 60 * HZ, 3);
	struct dma_chan *chan;

	chan = dmacast_fault() ? ERR_PTR(-ENOMEM) : dma_request_chan(device, CHANNEL_NAME);
	/* Without a device tree, a name that no provider will ever have gives this error, too. */
	if (PTR_ERR(chan) == -EPROBE_DEFER && __ratelimit(&say))
		dev_notice(device,
			   "waiting for a DMA channel: no provider offers \"%s\" to %s yet; load the provider's driver, which needs a dmas property here or a dma_slave_map entry { \"%s\", \"%s\" }\n",
			   CHANNEL_NAME, dev_name(device), dev_name(device), CHANNEL_NAME);
	else if (IS_ERR(chan) && PTR_ERR(chan) != -EPROBE_DEFER)
		dev_err(device, "no DMA channel \"%s\": %ld\n", CHANNEL_NAME,
			PTR_ERR(chan));
	return chan;
}

/*
 * Depend on the provider's device. The channel pins only the provider's module: when its device is
 * removed, this device must be unbound first, and bound again when the provider is back.
 */
static int engine_depend_on(struct device *device, struct device *provider)
{
	if (!dmacast_fault() && device_link_add(device, provider, DL_FLAG_AUTOPROBE_CONSUMER))
		return 0;
	dev_err(device, "cannot depend on %s: it is being removed, or there is no memory\n",
		dev_name(provider));
	return -EINVAL;
}

int dmacast_engine_open(struct engine *engine, struct device *device)
{
	struct dma_chan *chan = engine_request(device);
	int error;

	if (IS_ERR(chan))
		return PTR_ERR(chan);
	engine->chan = chan;
	error = engine_set_up(engine, device);
	if (!error)
		error = engine_depend_on(device, chan->device->dev);
	if (error)
		dmacast_engine_close(engine);
	return error;
}

void dmacast_engine_note_callback(struct engine *engine)
{
	bool in_thread = in_task() && !softirq_count();
	bool *seen = in_thread ? &engine->calls_in_thread : &engine->calls_elsewhere;

	if (!READ_ONCE(*seen))
		WRITE_ONCE(*seen, true);
}

/*
 * Wait until no callback runs. Without device_synchronize() the core does not wait for any. A
 * callback in a softirq is a read-side critical section of RCU. A callback in a thread, such as
 * that of a threaded interrupt, has ended when the thread has slept. Before the first callback its
 * context is unknown.
 */
static void engine_wait_for_callbacks(const struct engine *engine)
{
	if (engine->chan->device->device_synchronize)
		return;
	synchronize_rcu();
	if (READ_ONCE(engine->calls_in_thread) || !READ_ONCE(engine->calls_elsewhere))
		synchronize_rcu_tasks();
}

int dmacast_engine_stop(struct engine *engine)
{
	int error = dmaengine_terminate_sync(engine->chan);

	if (!error)
		engine_wait_for_callbacks(engine);
	return error;
}

void dmacast_engine_close(struct engine *engine)
{
	dma_release_channel(engine->chan);
	engine->chan = NULL;
}
