/* SPDX-License-Identifier: BSD-2-Clause */
/* The BPF program at the server's link, as a source of reports. There is one in a process. */
#ifndef NULLPEER_TAP_H
#define NULLPEER_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "nullpeer_report.h"

/**
 * tap_open() - from now on swallow what is sent by @link. Ends the process when that fails.
 * @wake: whether tap_wait() is to be woken; without, use tap_take() alone
 * @take: called for each packet, by the two below
 */
void tap_open(const char *link, bool wake, void (*take)(const struct report *report));

/** tap_take() - take what there is. */
void tap_take(void);

/** tap_wait() - the same; if there is nothing, wait for it so many milliseconds. */
void tap_wait(int milliseconds);

/** tap_overflows() - packets that were lost because nobody took their reports. */
uint64_t tap_overflows(void);

void tap_close(void);

#endif
