/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of a reload that takes time, while all streams run: names are resolved, and then rings are made
 * in slices. The start of the daemon does the same.
 *
 *   RESOLVING ─ all names have addresses ─▶ MAKING ─ all rings are made ─▶ READY
 *       ▲                                     │ a stream has changed meanwhile
 *       └─────────────────────────────────────┘
 *
 * Each error ends it in FAILED. The streams may change while it lasts, so what is needed is computed again
 * before it is READY.
 */
#ifndef DMACAST_PREPARATION_H
#define DMACAST_PREPARATION_H

#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct names;
struct preparation;
struct ring;
struct streams;

struct preparation_callbacks {
	/*
	 * Everything is there: change the streams from within this call, which may free the preparation.
	 * Called once, from the event loop, and never from within preparation_start().
	 */
	void (*ready)(void *argument);
	/* It failed; the reason was logged. May free the preparation. */
	void (*failed)(void *argument);
	/* Called before and after each step, which may log warnings and errors. */
	void (*begin_step)(void *argument);
	void (*end_step)(void *argument);
};

/**
 * preparation_start() - begin to prepare the change of @streams to @wanted.
 * @wanted, @callbacks: must outlive the preparation
 * @address: of one more listener, "HOST:PORT", for preparation_names(); NULL: none
 *
 * Return: NULL without memory, which was logged.
 */
struct preparation *preparation_start(struct event_base *base, struct streams *streams,
				      const struct stream_settings *wanted, size_t count,
				      const char *address,
				      const struct preparation_callbacks *callbacks,
				      void *argument);

/** preparation_names() - return the addresses of the names; valid as long as the preparation is. */
const struct names *preparation_names(const struct preparation *preparation);

/** preparation_take_ring() - hand over the ring of stream @index of `wanted`; NULL if there is none. */
struct ring *preparation_take_ring(struct preparation *preparation, size_t index);

/** preparation_free() - give up what is not complete, and free everything. NULL is allowed. */
void preparation_free(struct preparation *preparation);

#endif
