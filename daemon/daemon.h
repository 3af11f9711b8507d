/* SPDX-License-Identifier: BSD-2-Clause */
/* The running daemon: the event loop, the streams, and the signals. */
#ifndef DMACAST_DAEMON_H
#define DMACAST_DAEMON_H

#include "config/config.h"

struct daemon;
struct inheritance;

/**
 * daemon_open() - set up the event loop. Everything that can take time follows in daemon_run().
 * @config: the result of arguments_parse(); must outlive the daemon, and changes on each reload
 * @argc, @argv: the arguments; must outlive the daemon
 * @inheritance: what a predecessor has left, or NULL: the streams go on as they were, and then @config is applied to
 *	them as by a reload; used only within this call
 *
 * Return: NULL after an error, which is logged.
 */
struct daemon *daemon_open(struct config *config, int argc, char **argv,
			   struct inheritance *inheritance);

/**
 * daemon_run() - resolve names, make rings, open everything, and stream until every stream has ended.
 *
 * SIGTERM and SIGINT start draining: accept no more clients, send what was read so far for at most
 * `drain-timeout`, then reset the remaining clients. A second such signal resets them at once. SIGHUP
 * reads the configuration again and applies it to the streams, completely or not at all.
 * A handover ends the process within this call; see handover.h.
 *
 * Return: the exit status: 1 after an error, which is logged.
 */
int daemon_run(struct daemon *daemon);

/** daemon_close() - free everything. */
void daemon_close(struct daemon *daemon);

#endif
