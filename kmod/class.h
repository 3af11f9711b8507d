/* SPDX-License-Identifier: GPL-2.0-only */
/* The class of the device nodes, /sys/class/dmacast and /dev/dmacast, and their numbers. */
#ifndef DMACAST_CLASS_H
#define DMACAST_CLASS_H

#include <linux/device.h>

extern struct class dmacast_class;

/**
 * dmacast_class_init() - register the class when the module is loaded
 *
 * Context: May sleep.
 * Return: 0 or a negative error number.
 */
int dmacast_class_init(void);

/**
 * dmacast_class_exit() - unregister the class when the module is unloaded
 *
 * Context: May sleep.
 */
void dmacast_class_exit(void);

/**
 * dmacast_class_take_number() - allocate a device number
 * @number: out
 *
 * Context: May sleep.
 * Return: 0 or a negative error number.
 */
int dmacast_class_take_number(dev_t *number);

/**
 * dmacast_class_put_number() - free a device number
 * @number: the number
 *
 * Context: May sleep.
 */
void dmacast_class_put_number(dev_t number);

/**
 * dmacast_class_has() - check whether the class has a device
 * @name: the device's name
 *
 * Context: May sleep.
 * Return: true if a device has this name.
 */
bool dmacast_class_has(const char *name);

#endif
