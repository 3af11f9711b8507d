/* SPDX-License-Identifier: GPL-2.0-only */
/* /sys/class/dmacast/NAME: read-only attributes, one value a file; ABI explains them. */
#ifndef DMACAST_SYSFS_H
#define DMACAST_SYSFS_H

struct attribute_group;

extern const struct attribute_group *dmacast_sysfs_groups[];

#endif
