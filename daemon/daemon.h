/* SPDX-License-Identifier: BSD-2-Clause */
/* The running daemon: the event loop, the streams, and the signals that end them. */
#ifndef DMACAST_DAEMON_H
#define DMACAST_DAEMON_H

#include "config.h"

struct daemon;

/**
 * daemon_open() - get everything that can fail.
 * @config: must outlive the daemon
 *
 * Return: NULL after an error, which was logged.
 */
struct daemon *daemon_open(const struct config *config);

/**
 * daemon_run() - stream until every stream has ended, or until SIGTERM or SIGINT: then accept nobody
 * any more, let clients have what was read so far for at most `drain-timeout`, reset the rest. The
 * second such signal ends the waiting.
 *
 * Return: the exit status.
 */
int daemon_run(struct daemon *daemon);

/** daemon_close() - free everything. */
void daemon_close(struct daemon *daemon);

#endif
