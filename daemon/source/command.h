/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command whose standard output is read and whose standard error goes to the log. Its standard input is
 * /dev/null, or a pipe.
 *
 *   RUNNING ─ command_finish() ─▶ FINISHING ─ 1 s ─▶ TERMINATING ─ stop-timeout ─▶ KILLING ─ 2 s ─▶ LEFT
 *      │                             │ │                │   │                         │
 *      └────── command_end() ──────────│────────────────┘   └───── command_kill() ────┘
 *                                      ▼ the last process of the group has ended
 *                                    ENDED
 *
 * A supervisor (supervisor.h) starts it, and kills the whole group if the daemon ends without doing so. A successor of
 * the daemon goes on with the supervisor, the pipes, and what is left of the time to end.
 *
 * Nothing here waits. What does not end after SIGKILL (in uninterruptible sleep, or with another user id)
 * is logged and left, and its end is logged whenever it comes.
 */
#ifndef DMACAST_COMMAND_H
#define DMACAST_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

struct command;
struct event_base;
struct state;

/**
 * command_start() - run @text with /bin/sh in a process group of its own.
 * @name: the stream, for the log; copied
 * @output: out: a non-blocking descriptor that reads its standard output, now the caller's
 * @input: out: a non-blocking descriptor that writes to its standard input, now the caller's; NULL: /dev/null
 * @ended: after command_finish(), command_end() or command_kill(): it is ENDED or LEFT. Never called
 * within these functions
 *
 * Return: NULL after an error, with errno set.
 */
struct command *command_start(struct event_base *base, const char *name, const char *text,
			      int *output, int *input, void (*ended)(void *argument),
			      void *argument);

/**
 * command_drain() - read and drop what it still writes to its standard output, until it has ended.
 * @output: as of command_start(), now @command's
 */
void command_drain(struct command *command, int output);

/**
 * command_finish() - end it as command_end() does, but let it exit by itself first: its output has ended.
 * @stop_us: time in microseconds from SIGTERM to SIGKILL; 0: SIGKILL at once
 */
void command_finish(struct command *command, uint64_t stop_us);

/** command_end() - send SIGTERM to the whole group, and after @stop_us SIGKILL. May be repeated. */
void command_end(struct command *command, uint64_t stop_us);

/** command_kill() - send SIGKILL to the whole group now. */
void command_kill(struct command *command);

/** command_release() - give up @command without a call of ended(). What still runs is killed. */
void command_release(struct command *command);

/** command_save() - save the command, as the object "command", with the pipes that are its own. It goes on. */
void command_save(struct command *command, struct state *state);

/**
 * command_restore() - continue the command of the object "command".
 * @name, @ended: as of command_start()
 *
 * Return: NULL if the state has failed. What runs is killed then, when its descriptors are closed.
 */
struct command *command_restore(struct event_base *base, const char *name,
				void (*ended)(void *argument), void *argument, struct state *state);

/**
 * command_forget_released() - stop waiting for released commands of @base, which is freed next. Their
 * processes are not reaped.
 */
void command_forget_released(const struct event_base *base);

#endif
