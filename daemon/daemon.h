/* SPDX-License-Identifier: BSD-2-Clause */
/* The running daemon: the event loop, the streams, and the signals. */
#ifndef DMACAST_DAEMON_H
#define DMACAST_DAEMON_H

#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

struct daemon;

/**
 * daemon_open() - get everything that can fail.
 * @config: what arguments_parse() made of the arguments; must outlive the daemon, and changes when the
 *          configuration is read again
 * @argc, @argv: the arguments; must outlive the daemon
 *
 * Return: NULL after an error, which was logged.
 */
struct daemon *daemon_open(struct config *config, int argc, char **argv);

/**
 * daemon_run() - stream until every stream has ended, or until SIGTERM or SIGINT: then accept nobody
 * any more, let clients have what was read so far for at most `drain-timeout`, reset the rest. The
 * second such signal ends the waiting. SIGHUP: daemon_reload().
 *
 * Return: the exit status.
 */
int daemon_run(struct daemon *daemon);

/**
 * daemon_reload() - read the configuration again, and make of the streams what it says; at once, and
 * all of it or nothing, as far as that can be told before.
 * @text: out: the errors if there are any, else the warnings; a line each. They are logged, too.
 *
 * Not from within a callback of a stream.
 *
 * Return: false when nothing has changed.
 */
bool daemon_reload(struct daemon *daemon, char *text, size_t size);

/** daemon_close() - free everything. */
void daemon_close(struct daemon *daemon);

#endif
