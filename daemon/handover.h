/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving everything to a successor, which takes it by inheritance.h.
 *
 *   IDLE ─ to a program ─▶ CHECKING ─ it understands this ─▶ DUE ─ no reload runs ─▶ BLOCKED ─ no signal ─▶ saved,
 *     │                       │ it does not                   ▲                        │   packed, passed on: the end
 *     │                       ▼                               │                        │ an error, or a signal to stop
 *     │                     IDLE                              │                        ▼
 *     └─ to the service manager, for its next process ────────┘      IDLE, as if nothing had happened
 *
 * BLOCKED goes back to DUE if a signal began a reload.
 *
 * All from the first value that is saved until this process has ended is one callback of the event loop: nothing is
 * sent or received by it afterwards. After an error the parcel is revoked before anything else is done.
 */
#ifndef DMACAST_HANDOVER_H
#define DMACAST_HANDOVER_H

#include <stdbool.h>

struct config;
struct event_base;
struct handover;
struct streams;

/* Enough for each reason against a handover. */
#define HANDOVER_WRONG_TEXT 512

/* The environment variable with the number of the parcel's descriptor, for a program that is exec()ed. */
#define HANDOVER_VARIABLE "DMACAST_HANDOVER"

struct handover_callbacks {
	/* Return why no handover is possible; NULL: it is. */
	const char *(*obstacle)(void *argument);
	/* Return true while something keeps it waiting: handover_retry() follows. */
	bool (*must_wait)(void *argument);
	/* It has failed, and the daemon goes on; @why was logged. */
	void (*failed)(void *argument, const char *why);
};

/**
 * handover_create() - start without a handover.
 * @config: the configuration in effect; @argv: the arguments of the program; both must outlive the handover
 *
 * Return: NULL without memory.
 */
struct handover *handover_create(struct event_base *base, struct streams *streams,
				 const struct config *config, char **argv,
				 const struct handover_callbacks *callbacks, void *argument);

/**
 * handover_to_service() - hand over to the next process of this service, soon, and exit.
 * @wrong: out: on failure, why
 *
 * Return: false if it is refused.
 */
bool handover_to_service(struct handover *handover, char wrong[HANDOVER_WRONG_TEXT]);

/**
 * handover_to_program() - replace this program by another one, soon.
 * @path: NULL: the file that this program was started from, or what has taken its place
 * @wrong: out: on failure, why
 *
 * Return: false if it is refused.
 */
bool handover_to_program(struct handover *handover, const char *path,
			 char wrong[HANDOVER_WRONG_TEXT]);

/** handover_is_pending() - return true between a request and its end. */
bool handover_is_pending(const struct handover *handover);

/** handover_retry() - must_wait() may have become false. */
void handover_retry(struct handover *handover);

/** handover_cancel() - let a pending handover fail. */
void handover_cancel(struct handover *handover, const char *why);

/** handover_unblock_signals() - in a successor: get the signals that the predecessor has kept pending, and SIGHUP. */
void handover_unblock_signals(void);

/** handover_free() - free everything. NULL is allowed. */
void handover_free(struct handover *handover);

#endif
