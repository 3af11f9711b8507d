/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: connections of dmacastctl and the like, a line for each request and each
 * answer. They cannot hold up the streams: a connection has a few KiB of input, one request at a time,
 * and one answer, which must be read before the next one; requests of all connections together get a
 * tenth of the time. The answer to a reload comes when it is done; others are answered meanwhile.
 */
#ifndef DMACAST_CONTROL_H
#define DMACAST_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

/* Size of a buffer for the reason of a refusal. */
#define CONTROL_WRONG_TEXT 1024

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
	 * NULL: there is no configuration file. Read the configuration again, soon. Return: the number of
	 * that reload, for control_reload_done().
	 */
	uint64_t (*reload)(void *argument);
	/*
	 * Hand everything over to the next process of this service, or to the program at @path (NULL: the one that
	 * runs), soon. Then the connections end, or control_handover_failed() follows. @wrong: out: on failure, why.
	 * Return: false if it is refused.
	 */
	bool (*hand_over)(void *argument, char wrong[CONTROL_WRONG_TEXT]);
	bool (*upgrade)(void *argument, const char *path, char wrong[CONTROL_WRONG_TEXT]);
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

/**
 * control_reload_done() - answer the connections that wait for a reload.
 * @number: what the callback reload() returned
 * @done: false: nothing has changed
 * @text: lines with the errors, or with the warnings
 */
void control_reload_done(struct control *control, uint64_t number, bool done, const char *text);

/** control_handover_failed() - answer the connection that waits for a handover. */
void control_handover_failed(struct control *control, const char *why);

/** control_close() - send the answers that can be sent at once, remove the socket, free everything. */
void control_close(struct control *control);

#endif
