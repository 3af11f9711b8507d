/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether systemd stops the unit of this process in order to start it again. */
#ifndef DMACAST_CTL_RESTART_H
#define DMACAST_CTL_RESTART_H

#include <stdbool.h>

/**
 * restart_is_under_way() - ask systemd for the job of the unit that this process belongs to, within 10 seconds.
 * @error: out: why it cannot be found out, for example without a system bus; NULL: it was
 *
 * Return: false also after an error.
 */
bool restart_is_under_way(const char **error);

#endif
