/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The link of a relay to its origin: a connection, or the run of a command that writes the frames.
 *
 *   CLOSED ─ origin_link_open() ─▶ OPENING ─ opened() ─▶ OPEN
 *     ▲                                │ failed()         │
 *     └─────────── origin_link_close() ┴──────────────────┘
 *
 * A command may take a while to end when it is CLOSED. Until then no other command is started, but a connection may
 * be made.
 */
#ifndef DMACAST_ORIGIN_LINK_H
#define DMACAST_ORIGIN_LINK_H

#include "lib/input.h"
#include "lib/settings.h"

#include <stdbool.h>

struct caller;
struct command;
struct event_base;
struct state;

struct origin_link_callbacks {
	/* The next byte is the first one of the stream. @fd: the link's, non-blocking */
	void (*opened)(void *argument, int fd);
	/* @error: why. @status: of the answer by HTTP; 0: there is none */
	void (*failed)(void *argument, const char *error, unsigned int status);
	/* A command that was closed has ended: one may be started again. */
	void (*ended)(void *argument);
};

struct origin_link {
	struct event_base *base;
	const struct stream_settings *settings;
	const struct origin_link_callbacks *callbacks;
	void *argument;
	struct caller *caller;	 /* while it is OPENING */
	struct command *command; /* until it has ended */
	int fd;			 /* while it is OPEN; else -1 */
	bool reads_command;	 /* `fd` is the output of `command` */
};

/** origin_link_init() - begin with CLOSED. @settings, @callbacks: must outlive the link */
void origin_link_init(struct origin_link *link, struct event_base *base,
		      const struct stream_settings *settings,
		      const struct origin_link_callbacks *callbacks, void *argument);

/**
 * origin_link_open() - connect to @input, or start it if it is a command; then none may run.
 * @start: by http: where to begin; NULL: where the URL says. Copied
 *
 * opened() or failed() follows; for a command within this call.
 */
void origin_link_open(struct origin_link *link, const struct input *input, const char *start);

/**
 * origin_link_close() - close what is open, and end a command.
 * @is_over: the command has written all: it may exit by itself before SIGTERM
 */
void origin_link_close(struct origin_link *link, bool is_over);

/** origin_link_is_busy() - return true until the command has ended. */
bool origin_link_is_busy(const struct origin_link *link);

/** origin_link_kill() - kill the command now, if one runs. ended() follows. */
void origin_link_kill(struct origin_link *link);

/** origin_link_release() - give a link up that is CLOSED, without a call of ended(). What still runs is killed. */
void origin_link_release(struct origin_link *link);

/** origin_link_save() - save the descriptor and the command. A connection that is being made is not saved. */
void origin_link_save(struct origin_link *link, struct state *state);

/** origin_link_restore() - continue them. Return: NULL, or what contradicts itself in the state. */
const char *origin_link_restore(struct origin_link *link, struct state *state);

#endif
