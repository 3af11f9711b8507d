/* SPDX-License-Identifier: BSD-2-Clause */
/* A state that is saved and restored in one process. Its descriptors are duplicated. */
#ifndef DMACAST_TEST_STATEPASS_H
#define DMACAST_TEST_STATEPASS_H

#include "lib/state.h"

#include "tap.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Begin to save. Exit on failure. */
static inline struct state *state_begin_saving(void)
{
	struct state *state = state_create();

	if (!state)
		errx(1, "no memory");
	return state;
}

/* Return what was saved, for free(). Exit on failure. */
static inline char *state_encode_copy(struct state *saved, size_t *length)
{
	const char *data = state_encode(saved, length);
	char *copy = data ? malloc(*length) : NULL;

	if (!copy)
		errx(1, "saving failed: %s", state_why(saved));
	memcpy(copy, data, *length);
	return copy;
}

/* Begin to restore what was saved in @saved, which is freed. Exit on failure. */
static inline struct state *state_pass(struct state *saved)
{
	char wrong[STATE_WRONG_TEXT];
	struct state *state;
	size_t length = 0;
	const char *data = state_encode(saved, &length);
	size_t count;
	const int *fds = state_descriptors(saved, &count);
	int *copies = calloc(count + 1, sizeof(*copies));

	if (!data)
		errx(1, "saving failed: %s", state_why(saved));
	for (size_t i = 0; copies && i < count; i++)
		copies[i] = dup(fds[i]);
	state = state_decode(data, length, copies, copies ? count : 0, wrong);
	free(copies);
	if (!state)
		errx(1, "restoring failed: %s", wrong);
	state_free(saved);
	return state;
}

/* End to restore: nothing may have failed, or be left. */
static inline void state_end_pass(struct state *state)
{
	check(!state_failed(state), "%s", state_why(state));
	state_free(state);
}

#endif
