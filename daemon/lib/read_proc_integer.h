/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers that the kernel has in files, below /proc/sys and /sys. */
#ifndef DMACAST_READ_PROC_INTEGER_H
#define DMACAST_READ_PROC_INTEGER_H

#include <stdint.h>

/** kernel_number() - the one in the file @path, or -1 where there is none. */
int64_t kernel_number(const char *path);

#endif
