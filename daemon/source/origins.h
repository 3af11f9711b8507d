/* SPDX-License-Identifier: BSD-2-Clause */
/* The origins of a relay: which one is in use, and when to try the next one. */
#ifndef DMACAST_ORIGINS_H
#define DMACAST_ORIGINS_H

#include "lib/backoff.h"
#include "lib/input.h"
#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>

struct origins {
	const struct stream_settings *settings;
	struct input input; /* the one in use */
	size_t current;	    /* its index */
	size_t failures;    /* attempts in a row without a block */
	struct backoff backoff;
};

/**
 * origins_init() - begin with the first one.
 * @settings: must outlive the origins
 *
 * Return: false if its text is malformed. @wrong: out
 */
bool origins_init(struct origins *origins, const struct stream_settings *settings,
		  const char **wrong);

/** origins_text() - return the text of the one in use. */
const char *origins_text(const struct origins *origins);

/**
 * origins_fail() - take the next one, because the one in use has failed.
 * @gained: it has sent a block in this connection, which was @steady, that is, not short
 * @switched: out: true if it is another one
 *
 * Return: the delay before the next attempt: short until all have failed.
 */
struct timeval origins_fail(struct origins *origins, bool gained, bool steady, bool *switched);

/** origins_transfer() - save or restore the object "origins"; see state.h. */
void origins_transfer(struct origins *origins, struct state *state);

#endif
