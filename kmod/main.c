// SPDX-License-Identifier: GPL-2.0-only
/*
 * dmacast: DMA into rings of page-backed blocks that the network can send without copying.
 *
 * This is a platform driver. Its devices come from a device tree (compatible = "dmacast,ring") or,
 * without one, from the module parameter `channels`: dmacast.0, dmacast.1 and so on, for which the
 * DMA provider has entries in its dma_slave_map.
 */
#include "channel.h"
#include "chardev.h"
#include "class.h"
#include "compat.h"
#include "fault.h"
#include "guard.h"
#include "sysfs.h"

#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/platform_device.h>
#include <linux/pm.h>
#include <linux/property.h>
#include <linux/workqueue.h>

#include <uapi/dmacast.h>

#define MAX_CHANNELS 64

static char *channels[MAX_CHANNELS];
static unsigned int channel_count;
module_param_array(channels, charp, &channel_count, 0444);
MODULE_PARM_DESC(channels,
		 "Without a device tree: names of the channels, such as adc,dac. The n-th one, from 0, is the device dmacast.n, which requests the DMA channel \"rx\"");

static struct platform_device *channel_device[MAX_CHANNELS];

/* Return true if @name can be the name of a device node. */
static bool is_channel_name(const char *name)
{
	size_t length = strnlen(name, DMACAST_NAME_SIZE);

	if (!length || length == DMACAST_NAME_SIZE || name[0] == '.')
		return false;
	for (; *name; name++) {
		if (!isalnum(*name) && !strchr("_-.", *name))
			return false;
	}
	return true;
}

static int dmacast_probe(struct platform_device *pdev)
{
	const char *name = dev_name(&pdev->dev);
	struct channel *channel;

	device_property_read_string(&pdev->dev, "label", &name);
	if (!is_channel_name(name)) {
		dev_err(&pdev->dev,
			"label \"%s\": must be 1 to %d letters, digits, '_', '-' or '.', and must not start with '.'\n",
			name, DMACAST_NAME_SIZE - 1);
		return -EINVAL;
	}
	if (dmacast_class_has(name)) {
		dev_err(&pdev->dev, "label \"%s\": another channel has this name\n", name);
		return -EEXIST;
	}
	channel = dmacast_channel_create(&pdev->dev, name, &dmacast_chardev_fops,
					 dmacast_sysfs_groups);
	if (IS_ERR(channel))
		return PTR_ERR(channel);
	platform_set_drvdata(pdev, channel);
	return 0;
}

static void dmacast_remove(struct platform_device *pdev)
{
	dmacast_channel_remove(platform_get_drvdata(pdev));
}

COMPAT_DEFINE_PLATFORM_REMOVE(dmacast_remove)

static int __maybe_unused dmacast_suspend(struct device *dev)
{
	return dmacast_channel_suspend(dev_get_drvdata(dev));
}

static int __maybe_unused dmacast_resume(struct device *dev)
{
	dmacast_channel_resume(dev_get_drvdata(dev));
	return 0;
}

static SIMPLE_DEV_PM_OPS(dmacast_pm_ops, dmacast_suspend, dmacast_resume);

static const struct of_device_id dmacast_of_ids[] = {
	{ .compatible = "dmacast,ring" },
	{ }
};
MODULE_DEVICE_TABLE(of, dmacast_of_ids);

static struct platform_driver dmacast_driver = {
	.driver = {
		.name = "dmacast",
		.of_match_table = dmacast_of_ids,
		.pm = &dmacast_pm_ops,
	},
	.probe = dmacast_probe,
	COMPAT_PLATFORM_REMOVE(dmacast_remove),
};

static struct platform_device *make_channel_device(unsigned int number)
{
	const struct property_entry properties[] = {
		PROPERTY_ENTRY_STRING("label", channels[number]),
		{ }
	};
	const struct platform_device_info info = {
		.name = "dmacast",
		.id = number,
		.properties = properties,
	};

	if (dmacast_fault())
		return ERR_PTR(-ENOMEM);
	return platform_device_register_full(&info);
}

static void remove_channel_devices(void)
{
	for (unsigned int i = 0; i < channel_count; i++)
		platform_device_unregister(channel_device[i]);
}

static int make_channel_devices(void)
{
	unsigned int wanted = channel_count;

	for (channel_count = 0; channel_count < wanted; channel_count++) {
		struct platform_device *device = make_channel_device(channel_count);

		if (IS_ERR(device)) {
			remove_channel_devices();
			return PTR_ERR(device);
		}
		channel_device[channel_count] = device;
	}
	return 0;
}

static int __init dmacast_init(void)
{
	int error;

	dmacast_workqueue = dmacast_fault() ? NULL :
			    alloc_workqueue("dmacast", WQ_FREEZABLE | WQ_UNBOUND, 0);
	if (!dmacast_workqueue)
		return -ENOMEM;
	error = dmacast_class_init();
	if (error)
		goto destroy_workqueue;
	error = dmacast_fault() ? -ENOMEM : platform_driver_register(&dmacast_driver);
	if (error)
		goto exit_class;
	error = make_channel_devices();
	if (error)
		goto unregister_driver;
	return 0;
unregister_driver:
	platform_driver_unregister(&dmacast_driver);
exit_class:
	dmacast_class_exit();
destroy_workqueue:
	destroy_workqueue(dmacast_workqueue);
	return error;
}

static void __exit dmacast_exit(void)
{
	remove_channel_devices();
	platform_driver_unregister(&dmacast_driver);
	dmacast_class_exit();
	destroy_workqueue(dmacast_workqueue);
}

module_init(dmacast_init);
module_exit(dmacast_exit);
MODULE_AUTHOR("dmacast developers");
MODULE_DESCRIPTION("DMA rings of page-backed blocks that the network can send without copying");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1");
MODULE_ALIAS("platform:dmacast");
