/* SPDX-License-Identifier: GPL-2.0-only */
/* The class of the device nodes, /sys/class/dmacast and /dev/dmacast, and their numbers. */
#ifndef DMACAST_CLASS_H
#define DMACAST_CLASS_H

#include <linux/device.h>

extern struct class dmacast_class;

/** class_init() / class_exit() - when the module is loaded, and unloaded. Context: may sleep. */
int class_init(void);
void class_exit(void);

/** class_take_number() - a free device number; 0, or an error. Context: may sleep. */
int class_take_number(dev_t *number);

/** class_put_number() - it is free again. */
void class_put_number(dev_t number);

/** class_has() - is there a device of that name? */
bool class_has(const char *name);

#endif
