/* SPDX-License-Identifier: GPL-2.0-only */
/* The class of the device nodes, /sys/class/dmacast and /dev/dmacast, and their numbers. */
#ifndef DMACAST_CLASS_H
#define DMACAST_CLASS_H

#include <linux/device.h>

extern struct class dmacast_class;

/**
 * class_init() - make the class, when the module is loaded
 *
 * Context: May sleep.
 * Return: 0 or a negative error number.
 */
int class_init(void);

/**
 * class_exit() - remove the class, when the module is unloaded
 *
 * Context: May sleep.
 */
void class_exit(void);

/**
 * class_take_number() - take a free device number
 * @number: out
 *
 * Context: May sleep.
 * Return: 0 or a negative error number.
 */
int class_take_number(dev_t *number);

/**
 * class_put_number() - give a device number back
 * @number: the number
 *
 * Context: May sleep.
 */
void class_put_number(dev_t number);

/**
 * class_has() - see whether the class has a device
 * @name: the device's name
 *
 * Context: May sleep.
 * Return: true if there is one of that name.
 */
bool class_has(const char *name);

#endif
