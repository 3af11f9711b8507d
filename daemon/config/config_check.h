/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks of a whole configuration: of options that depend on each other, and of streams that conflict. */
#ifndef DMACAST_CONFIG_CHECK_H
#define DMACAST_CONFIG_CHECK_H

#include "config/config.h"

#include <stdbool.h>

/**
 * config_check() - check what concerns several options together.
 * @origin: named in the errors: the file, or "command line"
 *
 * Return: false after errors, all of them logged with the stream that they concern.
 */
bool config_check(const struct config *config, const char *origin);

#endif
