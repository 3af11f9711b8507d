/* SPDX-License-Identifier: GPL-2.0-only */
/* The file operations of /dev/dmacast/NAME, as uapi/dmacast.h describes them. */
#ifndef DMACAST_CHARDEV_H
#define DMACAST_CHARDEV_H

#include <linux/fs.h>

extern const struct file_operations dmacast_chardev_fops;

#endif
