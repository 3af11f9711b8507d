/* SPDX-License-Identifier: BSD-2-Clause */
/* A state that is saved and restored in one process. Its descriptors are duplicated. */
#ifndef DMACAST_TEST_STATEPASS_H
#define DMACAST_TEST_STATEPASS_H

#include "lib/state.h"

#include "tap.h"

#include <err.h>
#include <stdlib.h>
#include <unistd.h>

/* Begin to save. Exit on failure. */
static inline struct state *state_begin_saving(void)
{
	struct state *state = state_create();

	if (!state)
		errx(1, "no memory");
	return state;
}

/* Begin to restore what was saved in @saved, which is freed. Exit on failure. */
static inline struct state *state_pass(struct state *saved)
{
	char wrong[STATE_WRONG_TEXT];
	struct state *state;
	size_t length = 0;
	char *text = state_text(saved, &length);
	size_t count;
	const int *fds = state_descriptors(saved, &count);
	int *copies = calloc(count + 1, sizeof(*copies));

	if (!text)
		errx(1, "saving failed: %s", state_why(saved));
	for (size_t i = 0; copies && i < count; i++)
		copies[i] = dup(fds[i]);
	state = state_parse(text, length, copies, copies ? count : 0, wrong);
	free(copies);
	if (!state)
		errx(1, "restoring failed: %s", wrong);
	free(text);
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
