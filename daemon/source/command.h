/* SPDX-License-Identifier: BSD-2-Clause */
/* A command whose standard output is read and whose standard error goes to the log. */
#ifndef DMACAST_COMMAND_H
#define DMACAST_COMMAND_H

struct command;
struct event_base;

/**
 * command_start() - run @text with /bin/sh in a process group of its own.
 * @name: the stream, for the log; must outlive the command
 * @output: out: a non-blocking descriptor that reads its standard output, now the caller's
 *
 * Return: NULL after an error, with errno set.
 */
struct command *command_start(struct event_base *base, const char *name, const char *text,
			      int *output);

/** command_terminate() - send SIGTERM to the whole group, if it still runs. */
void command_terminate(struct command *command);

/** command_destroy() - end the group with SIGKILL if it still runs, reap it, free @command. */
void command_destroy(struct command *command);

#endif
