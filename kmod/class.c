// SPDX-License-Identifier: GPL-2.0-only
#include "class.h"

#include "compat.h"
#include "fault.h"

#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/kdev_t.h>
#include <linux/slab.h>

#define MAX_DEVICE_NUMBERS 256

static dev_t first_device_number;
static DEFINE_IDA(device_numbers);

/*
 * This has no fault point: without memory for the name, the driver core makes the node /dev/NAME,
 * as for every driver, and reports nothing.
 */
static char *class_devnode(COMPAT_DEVNODE_CONST struct device *dev, umode_t *mode)
{
	return kasprintf(GFP_KERNEL, "dmacast/%s", dev_name(dev));
}

struct class dmacast_class = {
	.name = "dmacast",
	.devnode = class_devnode,
};

int dmacast_class_init(void)
{
	int error = dmacast_fault() ? -ENOMEM :
		    alloc_chrdev_region(&first_device_number, 0, MAX_DEVICE_NUMBERS, "dmacast");

	if (error)
		return error;
	error = dmacast_fault() ? -ENOMEM : class_register(&dmacast_class);
	if (error)
		unregister_chrdev_region(first_device_number, MAX_DEVICE_NUMBERS);
	return error;
}

void dmacast_class_exit(void)
{
	class_unregister(&dmacast_class);
	unregister_chrdev_region(first_device_number, MAX_DEVICE_NUMBERS);
	ida_destroy(&device_numbers);
}

int dmacast_class_take_number(dev_t *number)
{
	int minor = dmacast_fault() ? -ENOMEM :
		    ida_alloc_max(&device_numbers, MAX_DEVICE_NUMBERS - 1, GFP_KERNEL);

	if (minor < 0)
		return minor;
	*number = first_device_number + minor;
	return 0;
}

void dmacast_class_put_number(dev_t number)
{
	ida_free(&device_numbers, number - first_device_number);
}

bool dmacast_class_has(const char *name)
{
	struct device *dev = class_find_device_by_name(&dmacast_class, name);

	put_device(dev);
	return !!dev;
}
