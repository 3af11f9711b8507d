/* SPDX-License-Identifier: BSD-2-Clause */
/* The limits of the system, and messages about those that are too low for the configuration. */
#ifndef DMACAST_LIMITS_H
#define DMACAST_LIMITS_H

#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>

/** limits_raise() - raise the soft limits of open files and of locked memory to the hard limits. */
void limits_raise(void);

/**
 * limits_report() - log how much memory may be pinned, and which limits restrict zero-copy.
 *
 * Return: false if `strict` forbids to start on this system, which is logged.
 */
bool limits_report(const struct daemon_settings *settings, const struct stream_settings *streams,
		   size_t count);

#endif
