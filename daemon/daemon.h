/* SPDX-License-Identifier: BSD-2-Clause */
/* The running daemon: the event loop, the streams, and the signals. */
#ifndef DMACAST_DAEMON_H
#define DMACAST_DAEMON_H

#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

struct daemon;

/**
 * daemon_open() - acquire everything that can fail.
 * @config: the result of arguments_parse(); must outlive the daemon, and changes on each reload
 * @argc, @argv: the arguments; must outlive the daemon
 *
 * Return: NULL after an error, which is logged.
 */
struct daemon *daemon_open(struct config *config, int argc, char **argv);

/**
 * daemon_run() - stream until every stream has ended.
 *
 * SIGTERM and SIGINT start draining: accept no more clients, send what was read so far for at most
 * `drain-timeout`, then reset the remaining clients. A second such signal resets them at once. SIGHUP
 * calls daemon_reload().
 *
 * Return: the exit status.
 */
int daemon_run(struct daemon *daemon);

/**
 * daemon_reload() - read the configuration again and apply it to the streams, completely or not at all.
 * @text: out: the errors, or the warnings if there is no error, one a line; both are logged as well
 *
 * Do not call it from a callback of a stream.
 *
 * Return: false if nothing has changed.
 */
bool daemon_reload(struct daemon *daemon, char *text, size_t size);

/** daemon_close() - free everything. */
void daemon_close(struct daemon *daemon);

#endif
