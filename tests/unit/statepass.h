/* SPDX-License-Identifier: BSD-2-Clause */
/* A state that is saved and restored in one process, without descriptors. */
#ifndef DMACAST_TEST_STATEPASS_H
#define DMACAST_TEST_STATEPASS_H

#include "lib/state.h"

#include "tap.h"

#include <err.h>
#include <stdlib.h>

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

	if (!text)
		errx(1, "saving failed: %s", state_why(saved));
	state = state_parse(text, length, NULL, 0, wrong);
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
