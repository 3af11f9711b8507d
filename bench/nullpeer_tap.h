/* SPDX-License-Identifier: BSD-2-Clause */
/* The BPF program at the server's link, as a source of reports. A process has one. */
#ifndef NULLPEER_TAP_H
#define NULLPEER_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "nullpeer_report.h"

/**
 * tap_open() - drop and report all packets sent by @link from now on. Exit on failure.
 * @wake: packets wake tap_wait(); if false, use only tap_take()
 * @take: called for each packet, by tap_take() and tap_wait()
 */
void tap_open(const char *link, bool wake, void (*take)(const struct report *report));

/** tap_take() - process pending reports. */
void tap_take(void);

/** tap_wait() - process pending reports; if there is none, wait for one. */
void tap_wait(int milliseconds);

/** tap_overflows() - return the number of packets lost because the ring of reports was full. */
uint64_t tap_overflows(void);

/** tap_close() - detach the program. */
void tap_close(void);

#endif
