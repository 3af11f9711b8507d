// SPDX-License-Identifier: BSD-2-Clause
/* A socket with its sends in the state of a handover. */
#include "lib/state.h"
#include "ring/ring.h"
#include "send/zerocopy.h"

#include <sys/socket.h>

static void probe_transfer(struct zerocopy_probe *probe, struct state *state)
{
	int copy_state = (int)probe->copy_state;

	state_enter(state, "probe");
	state_choice(state, "copy_state", &copy_state, ZEROCOPY_UNCOPIED + 1);
	state_bool(state, "wanted", &probe->wanted);
	state_u32(state, "copied_in_a_row", &probe->copied_in_a_row);
	state_u64(state, "pause_left", &probe->pause_left);
	state_u64(state, "next_pause", &probe->next_pause);
	state_u32(state, "hold_off", &probe->hold_off);
	state_leave(state);
	probe->copy_state = (enum zerocopy_copy_state)copy_state;
}

static void zerocopy_transfer(struct zerocopy *zerocopy, struct ring *ring, struct state *state)
{
	state_u32(state, "packet", &zerocopy->packet);
	state_u32(state, "budgets", &zerocopy->budgets);
	state_u64(state, "accepted_peak", &zerocopy->accepted_peak);
	state_bool(state, "send_blocked", &zerocopy->send_blocked);
	state_bool(state, "was_reset", &zerocopy->was_reset);
	probe_transfer(&zerocopy->probe, state);
	zerocopy_stats_transfer(&zerocopy->stats, state, "stats");
	completions_transfer(&zerocopy->completions, ring, state);
	/* It is divided by. */
	if (!zerocopy->packet && zerocopy->budgets)
		state_fail(state, "packet: expected 1 or more");
}

void zerocopy_save(struct zerocopy *zerocopy, struct ring *ring, struct state *state)
{
	state_enter(state, "zerocopy");
	state_descriptor(state, "fd", &zerocopy->fd);
	zerocopy_transfer(zerocopy, ring, state);
	state_leave(state);
}

static bool is_stream_socket(int fd)
{
	socklen_t length = sizeof(int);
	int type;

	return fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) &&
	       type == SOCK_STREAM;
}

bool zerocopy_restore(struct zerocopy *zerocopy, struct ring *ring, struct state *state,
		      enum zerocopy_mode mode, struct latency *latency,
		      void (*copy_state_changed)(void *argument, enum zerocopy_copy_state before,
						 enum zerocopy_copy_state now),
		      void *argument)
{
	int fd = -1;

	state_enter(state, "zerocopy");
	state_descriptor(state, "fd", &fd);
	if (!state_failed(state) && !is_stream_socket(fd))
		state_fail(state, "fd: expected a socket");
	zerocopy_open(zerocopy, fd, mode, latency, copy_state_changed, argument);
	zerocopy_transfer(zerocopy, ring, state);
	state_leave(state);
	if (zerocopy->probe.copy_state != ZEROCOPY_UNKNOWN)
		copy_state_changed(argument, ZEROCOPY_UNKNOWN, zerocopy->probe.copy_state);
	if (!state_failed(state))
		return true;
	zerocopy_abandon(zerocopy);
	return false;
}
