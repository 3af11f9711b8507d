// SPDX-License-Identifier: BSD-2-Clause
#include "send/zerocopy_probe.h"

#include <string.h>

/* Below this many bytes pinning pages costs more than copying them (kernel: msg_zerocopy.rst). */
#define MIN_PINNED_BYTES 10240

/* Completions in a row that say "copied" and begin a pause. */
#define MAX_COPIED_IN_A_ROW 4

/* Length of a pause, in bytes. */
#define FIRST_PAUSE (64ULL << 20)
#define MAX_PAUSE (4ULL << 30)

/* Sends to copy after ENOBUFS: no event reports that the socket has option memory again. */
#define HOLD_OFF_SENDS 64

void zerocopy_probe_init(struct zerocopy_probe *probe, enum zerocopy_mode mode)
{
	memset(probe, 0, sizeof(*probe));
	probe->mode = mode;
	probe->wanted = mode != ZEROCOPY_NEVER;
	probe->next_pause = FIRST_PAUSE;
}

/* Return true while it is not known whether zero-copy pays. */
static bool is_undecided(const struct zerocopy_probe *probe)
{
	return probe->mode == ZEROCOPY_AUTO && probe->copy_state != ZEROCOPY_UNCOPIED;
}

static bool is_pausing(const struct zerocopy_probe *probe)
{
	return probe->mode == ZEROCOPY_AUTO && !probe->wanted && probe->pause_left;
}

enum zerocopy_way zerocopy_probe_way(const struct zerocopy_probe *probe)
{
	if (probe->mode == ZEROCOPY_NEVER || probe->hold_off || is_pausing(probe))
		return ZEROCOPY_WAY_COPIES;
	return is_undecided(probe) ? ZEROCOPY_WAY_PROBES : ZEROCOPY_WAY_PINS;
}

enum zerocopy_way zerocopy_probe_choose(struct zerocopy_probe *probe, uint64_t bytes,
					uint32_t outstanding)
{
	if (probe->mode == ZEROCOPY_NEVER || bytes < MIN_PINNED_BYTES)
		return ZEROCOPY_WAY_COPIES;
	if (probe->hold_off) {
		probe->hold_off--;
		return ZEROCOPY_WAY_COPIES;
	}
	if (is_pausing(probe))
		return ZEROCOPY_WAY_COPIES;
	if (!probe->wanted) {
		/* The pause is over. If nothing has changed, one more "copied" begins the next one. */
		probe->wanted = true;
		probe->copied_in_a_row = MAX_COPIED_IN_A_ROW - 1;
	}
	if (!is_undecided(probe))
		return ZEROCOPY_WAY_PINS;
	return outstanding ? ZEROCOPY_WAY_COPIES : ZEROCOPY_WAY_PROBES;
}

void zerocopy_probe_copied(struct zerocopy_probe *probe, uint64_t bytes)
{
	probe->pause_left -= bytes < probe->pause_left ? bytes : probe->pause_left;
}

void zerocopy_probe_no_buffer(struct zerocopy_probe *probe)
{
	probe->hold_off = HOLD_OFF_SENDS;
}

void zerocopy_probe_complete(struct zerocopy_probe *probe, uint64_t sends, bool copied)
{
	probe->hold_off = 0;
	probe->copy_state = copied ? ZEROCOPY_COPIED : ZEROCOPY_UNCOPIED;
	if (!copied) {
		probe->copied_in_a_row = 0;
		probe->next_pause = FIRST_PAUSE;
		return;
	}
	if (!probe->wanted || probe->mode != ZEROCOPY_AUTO)
		return;
	probe->copied_in_a_row += (uint32_t)sends;
	if (probe->copied_in_a_row < MAX_COPIED_IN_A_ROW)
		return;
	probe->wanted = false;
	probe->pause_left = probe->next_pause;
	if (probe->next_pause < MAX_PAUSE)
		probe->next_pause *= 2;
}
