/* SPDX-License-Identifier: BSD-2-Clause */
/* The standard error of a command, line by line to the log. */
#ifndef DMACAST_COMMAND_LOG_H
#define DMACAST_COMMAND_LOG_H

#include "lib/log.h"

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>

/* Bytes of a line that are logged; the rest of a longer one is dropped. */
#define MAX_COMMAND_LINE ((size_t)512)

struct state;

struct command_log {
	const char *name; /* of the stream */
	int fd;		  /* -1: closed */
	struct event readable;
	char line[MAX_COMMAND_LINE]; /* the current line, so far */
	size_t length;
	bool is_cut; /* drop bytes until the end of the line */
	struct log_limit limit;
};

/**
 * command_log_open() - log the lines that arrive at @fd, a limited number of them.
 * @name: of the stream; must outlive @log
 * @fd: non-blocking pipe, now @log's
 *
 * Return: false without memory; @fd is still the caller's then.
 */
bool command_log_open(struct command_log *log, struct event_base *base, const char *name, int fd);

/** command_log_add() - log the lines that end in @text, and keep what follows them. */
void command_log_add(struct command_log *log, const char *text, size_t length);

/** command_log_save() - save the pipe, and the line so far, as the object "log". */
void command_log_save(struct command_log *log, struct state *state);

/** command_log_restore() - continue the log of the object "log". @name: as of command_log_open() */
void command_log_restore(struct command_log *log, struct event_base *base, const char *name,
			 struct state *state);

/** command_log_close() - log what is left, and how many lines were suppressed; close. May be repeated. */
void command_log_close(struct command_log *log);

#endif
