// SPDX-License-Identifier: BSD-2-Clause
#include "source/origins.h"

#include "lib/clock.h"
#include "lib/state.h"

static bool origins_parse(struct origins *origins, const char **wrong)
{
	return input_parse(origins_text(origins), &origins->input, wrong);
}

bool origins_init(struct origins *origins, const struct stream_settings *settings,
		  const char **wrong)
{
	*origins = (struct origins){ .settings = settings };
	backoff_reset(&origins->backoff);
	return origins_parse(origins, wrong);
}

const char *origins_text(const struct origins *origins)
{
	return stream_settings_input(origins->settings, origins->current);
}

struct timeval origins_fail(struct origins *origins, bool gained, bool steady, bool *switched)
{
	size_t count = stream_settings_inputs(origins->settings);
	const char *ignored;

	if (gained)
		origins->failures = 0;
	if (steady)
		backoff_reset(&origins->backoff);
	*switched = count > 1;
	origins->current = (origins->current + 1) % count;
	/* All of them were parsed when the configuration was checked. */
	origins_parse(origins, &ignored);
	if (++origins->failures % count)
		return clock_timeval(MIN_BACKOFF_US);
	return backoff_take(&origins->backoff);
}

void origins_transfer(struct origins *origins, struct state *state)
{
	const char *wrong = "";

	state_enter(state, "origins");
	state_size(state, "current", &origins->current);
	state_size(state, "failures", &origins->failures);
	backoff_transfer(&origins->backoff, state, "backoff");
	if (origins->current >= stream_settings_inputs(origins->settings)) {
		state_fail(state, "current: there is no such origin");
		origins->current = 0;
	}
	if (!state_is_saving(state) && !origins_parse(origins, &wrong))
		state_fail(state, "current: expected %s", wrong);
	state_leave(state);
}
