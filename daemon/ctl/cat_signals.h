/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals that end the program in order: SIGINT, SIGTERM and SIGHUP. SIGPIPE is ignored. */
#ifndef DMACAST_CAT_SIGNALS_H
#define DMACAST_CAT_SIGNALS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* Time that never comes, for cat_signals_poll(). */
#define CAT_NEVER UINT64_MAX

/** cat_signals_catch() - catch and block the signals. Threads that are started later have them blocked. */
void cat_signals_catch(void);

/**
 * cat_signals_allow() - let signals come, or block them. They come in cat_signals_poll() in any case, so that none
 * is overlooked; allow them while a call may block: name resolution, or a write to a terminal, a FIFO or a disk.
 */
void cat_signals_allow(bool allow);

/** cat_signals_stopped() - return true if one of the signals came. */
bool cat_signals_stopped(void);

/**
 * cat_signals_poll() - wait for descriptors or a signal.
 * @until_ns: monotonic; CAT_NEVER: without limit
 */
void cat_signals_poll(struct pollfd *fds, nfds_t count, uint64_t until_ns);

#endif
