/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Included before everything else of modules for 32-bit ARM. Debian's modpost for amd64 takes the sizes of
 * these tables as they are with 64 bits, and ends. Without them no alias is made, which only loading by
 * itself needs.
 */

/* As the sources have it. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#undef MODULE_DEVICE_TABLE
#define MODULE_DEVICE_TABLE(type, name)
