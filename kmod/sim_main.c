// SPDX-License-Identifier: GPL-2.0-only
/*
 * dmacast_sim.ko: the module, its single device, and the hot-unplug of that. See sim.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

#include "sim.h"

#define SIM_MAX_CHANNELS 64
#define SIM_MAX_LATE_MS	 100

static unsigned int channels = 1;
module_param(channels, uint, 0444);
MODULE_PARM_DESC(channels, "Number of channels: dmacast.0/rx, dmacast.1/rx, ... (default 1)");

static unsigned long long rate = 100000000;
module_param(rate, ullong, 0444);
MODULE_PARM_DESC(rate, "Bytes per second of each channel; 0: as fast as possible (default 100000000)");

static unsigned int max_segment_size = 16 * 1024 * 1024;
module_param(max_segment_size, uint, 0444);
MODULE_PARM_DESC(max_segment_size, "Largest segment of a scatterlist, in bytes (default 16 MiB)");

static unsigned int max_segments;
module_param(max_segments, uint, 0444);
MODULE_PARM_DESC(max_segments, "Maximum number of segments of a scatterlist; 0: no limit (default 0)");

static bool contiguous;
module_param(contiguous, bool, 0444);
MODULE_PARM_DESC(contiguous, "Take one segment per transfer: the same as max_segments=1 (default no)");

static unsigned int dma_bits = 64;
module_param(dma_bits, uint, 0444);
MODULE_PARM_DESC(dma_bits, "Width of the DMA address, 24 to 64 bits (default 64)");

static unsigned int bus_bits = 64;
module_param(bus_bits, uint, 0444);
MODULE_PARM_DESC(bus_bits, "Width of the DMA address on the bus, 24 to 64 bits (default 64)");

static unsigned int seg_boundary = U32_MAX;
module_param(seg_boundary, uint, 0444);
MODULE_PARM_DESC(seg_boundary, "Mask of the boundary that no segment may cross, such as 65535 for 64 KiB (default 4294967295)");

static unsigned int late;
module_param(late, uint, 0444);
MODULE_PARM_DESC(late, "Milliseconds after a transfer until a thread calls the client, without device_synchronize(); 0: a tasklet calls it at once (default 0)");

static int node = NUMA_NO_NODE;
module_param(node, int, 0444);
MODULE_PARM_DESC(node, "NUMA node of the engine; -1: none (default -1)");

static struct platform_device *sim_pdev;
static struct workqueue_struct *sim_queue;
static struct dentry *sim_debugfs;
static struct dentry *sim_unplug_file;
static atomic_t sim_lingering = ATOMIC_INIT(0);
static unsigned int sim_plug_ms;

static void sim_free(struct sim *sim)
{
	kfree(sim->map);
	kfree(sim->map_names);
	kvfree(sim);
}

static void sim_free_work(struct work_struct *work)
{
	struct sim *sim = container_of(to_delayed_work(work), struct sim, free_work);
	unsigned int i;

	for (i = 0; i < sim->count; i++)
		put_device(&sim->channels[i].chan.dev->device);
	sim_free(sim);
	atomic_dec(&sim_lingering);
}

/*
 * Called when the last user of the DMA device has released it. That may be a client inside
 * dma_release_channel(), which uses the channel and its device after this: free them later.
 */
static void sim_release(struct dma_device *dma)
{
	struct sim *sim = container_of(dma, struct sim, dma);

	queue_delayed_work(sim_queue, &sim->free_work, HZ);
}

/* Stop all channels. After this they do nothing, whatever their clients call. */
static void sim_stop_channels(struct sim *sim)
{
	unsigned int i;

	for (i = 0; i < sim->count; i++) {
		struct sim_chan *ch = &sim->channels[i];

		spin_lock_irq(&ch->lock);
		ch->dead = true;
		spin_unlock_irq(&ch->lock);
		dmacast_sim_terminate_all(&ch->chan);
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

		thread = kthread_run(dmacast_sim_thread, ch, SIM_NAME "/%u", i);
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
	ch->late_ms = late;
	ch->clock_ns = ktime_get_ns();
	spin_lock_init(&ch->lock);
	INIT_LIST_HEAD(&ch->submitted);
	INIT_LIST_HEAD(&ch->issued);
	INIT_LIST_HEAD(&ch->done);
	init_waitqueue_head(&ch->work);
	init_waitqueue_head(&ch->aborted);
	tasklet_setup(&ch->tasklet, dmacast_sim_tasklet);

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

	dmacast_sim_provider_init(dma, late);
	INIT_LIST_HEAD(&dma->channels);
	dma->dev = dev;
	dma->max_sg_burst = contiguous ? 1 : max_segments;
	dma->filter.map = sim->map;
	dma->filter.mapcnt = sim->count;
	dma->device_release = sim_release;
}

static void sim_unregister(void *data)
{
	struct sim *sim = data;
	unsigned int i;

	for (i = 0; i < sim->count; i++)
		debugfs_remove_recursive(sim->channels[i].debugfs);
	sim_stop_channels(sim);
	/* Frees everything with the last client. */
	dma_async_device_unregister(&sim->dma);
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
	dma_set_seg_boundary(dev, seg_boundary);
	if (bus_bits < 64)
		dev->bus_dma_limit = DMA_BIT_MASK(bus_bits);
	set_dev_node(dev, node);
#if defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE) || defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU)
	/* The CPU writes the data, through its caches. */
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
	/* Clients that outlive the device still use these. */
	for (i = 0; i < sim->count; i++)
		get_device(&sim->channels[i].chan.dev->device);
	atomic_inc(&sim_lingering);

	for (i = 0; i < sim->count; i++)
		dmacast_sim_debugfs_add(&sim->channels[i], sim_debugfs);
	ret = devm_add_action_or_reset(dev, sim_unregister, sim);
	if (ret)
		return ret;
	dev_info(dev, "%u channels, %llu bytes/s each\n", sim->count, rate);
	return 0;
stop:
	sim_stop_channels(sim);
free:
	sim_free(sim);
	return ret;
}

static struct platform_driver sim_driver = {
	.driver = {
		.name = SIM_NAME,
	},
	.probe = sim_probe,
};

/* Hot-unplug */

static void sim_plug_work(struct work_struct *work)
{
	int ret = device_attach(&sim_pdev->dev);

	if (ret != 1)
		dev_err(&sim_pdev->dev, "cannot plug in again: %d\n", ret);
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
	/* Not here: unplugging removes files of debugfs and waits for their users. */
	return queue_work(sim_queue, &sim_unplug) ? 0 : -EBUSY;
}
DEFINE_DEBUGFS_ATTRIBUTE(sim_unplug_fops, NULL, sim_unplug_set, "%llu\n");

static int __init sim_check_parameters(void)
{
	if (channels == 0 || channels > SIM_MAX_CHANNELS) {
		pr_err("channels=%u: must be from 1 to %u\n", channels,
		       SIM_MAX_CHANNELS);
		return -EINVAL;
	}
	if (rate > SIM_MAX_RATE) {
		pr_err("rate=%llu: must be at most %llu\n", rate, SIM_MAX_RATE);
		return -EINVAL;
	}
	if (max_segment_size == 0) {
		pr_err("max_segment_size=0: must be at least 1\n");
		return -EINVAL;
	}
	if (contiguous && max_segments > 1) {
		pr_err("contiguous and max_segments=%u contradict each other\n",
		       max_segments);
		return -EINVAL;
	}
	if (dma_bits < 24 || dma_bits > 64) {
		pr_err("dma_bits=%u: must be from 24 to 64\n", dma_bits);
		return -EINVAL;
	}
	if (bus_bits < 24 || bus_bits > 64) {
		pr_err("bus_bits=%u: must be from 24 to 64\n", bus_bits);
		return -EINVAL;
	}
	if (seg_boundary & (seg_boundary + 1)) {
		pr_err("seg_boundary=%u: must be a power of two less 1\n", seg_boundary);
		return -EINVAL;
	}
	if (late > SIM_MAX_LATE_MS) {
		pr_err("late=%u: must be at most %u\n", late, SIM_MAX_LATE_MS);
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
	/* Unplugging queues plugging in again: cancel in this order. */
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
MODULE_DESCRIPTION("DMA engine in software, to use dmacast without hardware");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1");
