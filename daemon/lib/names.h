/* SPDX-License-Identifier: BSD-2-Clause */
/* The addresses of several names, which are resolved side by side; see resolver.h. */
#ifndef DMACAST_NAMES_H
#define DMACAST_NAMES_H

#include "lib/resolver.h"

#include <stdbool.h>

struct names;

/**
 * names_create() - start without names.
 * @settled: called from the event loop whenever the last name that was pending is not any more
 *
 * Return: NULL without memory.
 */
struct names *names_create(struct event_base *base, void (*settled)(void *argument),
			   void *argument);

/** names_add() - resolve @host, unless it was added before. Return: false without memory. */
bool names_add(struct names *names, const char *host);

/** names_pending() - return the number of names without a result. */
unsigned int names_pending(const struct names *names);

/** names_find() - return the result for @host; NULL: it was not added, or is pending. */
const struct resolved *names_find(const struct names *names, const char *host);

/** names_free() - cancel what is pending, and free everything. NULL is allowed. */
void names_free(struct names *names);

#endif
