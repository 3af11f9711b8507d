/* SPDX-License-Identifier: BSD-2-Clause */
/* What the system allows, what of it is too little for the configuration, and what to do about it. */
#ifndef DMACAST_LIMITS_H
#define DMACAST_LIMITS_H

#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>

/** limits_raise() - raise the soft limits of open files and locked memory to the hard ones. */
void limits_raise(void);

/**
 * limits_report() - log how much memory may be pinned, and what stands in the way of zero-copy.
 *
 * Return: false when the settings forbid to start on such a system; that is logged.
 */
bool limits_report(const struct daemon_settings *settings, const struct stream_settings *streams,
		   size_t count);

#endif
