/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: connections of dmacastctl and the like, a line for each request and each
 * answer. They cannot hold up the streams: a connection has a few KiB of input, one request at a time,
 * and one answer, which must be read before the next one; requests of all connections together get a
 * tenth of the time.
 */
#ifndef DMACAST_CONTROL_H
#define DMACAST_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control;
struct event_base;
struct streams;

/* The streams that requests are about, and what requests can do besides. */
struct control_callbacks {
	struct streams *streams;
	void *argument; /* passed to each callback */
	/* Return true while the daemon is stopping. */
	bool (*is_draining)(void *argument);
	/* Return the option drain-timeout in microseconds. */
	uint64_t (*drain_timeout)(void *argument);
	/*
	 * Stop, as for SIGTERM, but reset the remaining clients after @drain_us microseconds. While stopping:
	 * replace the time that is left.
	 */
	void (*drain)(void *argument, uint64_t drain_us);
	/*
	 * Read the configuration again. @text: out: lines with the errors, or with the warnings. Return:
	 * false after an error, when nothing has changed. NULL: there is no configuration file.
	 */
	bool (*reload)(void *argument, char *text, size_t size);
};

/**
 * control_path() - return the path of the socket.
 * @wanted: as configured, or NULL: "control" in the first directory of $RUNTIME_DIRECTORY
 *
 * Return: a string that the caller frees; NULL for no socket.
 */
char *control_path(const char *wanted);

/**
 * control_open() - listen.
 * @path: see control_path()
 *
 * Return: NULL after an error, which was logged.
 */
struct control *control_open(struct event_base *base, const char *path,
			     const struct control_callbacks *callbacks);

/** control_close() - send the answers that can be sent at once, remove the socket, free everything. */
void control_close(struct control *control);

#endif
