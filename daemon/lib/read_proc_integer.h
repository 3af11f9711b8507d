/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings of the kernel that are one integer in a file, below /proc/sys and /sys. */
#ifndef DMACAST_READ_PROC_INTEGER_H
#define DMACAST_READ_PROC_INTEGER_H

#include <stdint.h>

/** read_proc_integer() - return the integer in the file @path, or -1 if there is none. */
int64_t read_proc_integer(const char *path);

#endif
