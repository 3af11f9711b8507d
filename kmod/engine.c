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

/* In dma-names, and in the provider's slave map. */
#define CHANNEL_NAME "rx"

static bool ask_status;
module_param(ask_status, bool, 0444);
MODULE_PARM_DESC(ask_status,
		 "Ask every DMA engine for the outcome of a transfer (tx_status) instead of being told (callback_result); slower to learn of short transfers, or never");

/* What the drivers of some engines cannot do, and no capability of dmaengine says. */
struct engine_quirk {
	const char *driver;
	/*
	 * It may call the callback_result of a transfer that is long over, for a block that is not
	 * done, or when the module is gone: descriptors are used again with it. It never calls
	 * `callback` so. Such an engine is asked for the outcome. The others are not, because some,
	 * as xilinx_dma, report a short transfer by callback_result alone.
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

	/* Behind swiotlb a mapping, and so each segment, is limited, too. */
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

/* Most providers know it all from their own node; some need to be told. */
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
		dev_err(device, "DMA channel %s is no slave channel: %d\n",
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
	/* Without a device tree this is also what a name that nobody will ever have gives. */
	if (PTR_ERR(chan) == -EPROBE_DEFER && __ratelimit(&say))
		dev_notice(device,
			   "waiting for a DMA channel: no provider has one \"%s\" for %s yet; load the provider's driver, which needs a dmas property here or a dma_slave_map entry { \"%s\", \"%s\" }\n",
			   CHANNEL_NAME, dev_name(device), dev_name(device), CHANNEL_NAME);
	else if (IS_ERR(chan) && PTR_ERR(chan) != -EPROBE_DEFER)
		dev_err(device, "no DMA channel \"%s\": %ld\n", CHANNEL_NAME,
			PTR_ERR(chan));
	return chan;
}

/*
 * The channel holds the provider's module, not its device: when that goes, we are to be unbound
 * before it, and bound again when it is back.
 */
static int engine_depend_on(struct device *device, struct device *provider)
{
	if (!dmacast_fault() && device_link_add(device, provider, DL_FLAG_AUTOPROBE_CONSUMER))
		return 0;
	dev_err(device, "cannot depend on %s: it is going away, or there is no memory\n",
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
 * Without device_synchronize() the core waits for no callback. One in a softirq is a read-side
 * critical section of RCU. One in a thread, as that of a threaded interrupt, is over when the
 * thread has slept. Before the first callback nothing is known.
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
