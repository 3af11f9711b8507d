// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_memory.h"

#include "lib/state.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>

/* A grant is raised once the peer has acknowledged this many times the new one since the last raise. */
#define MEMORY_ACKNOWLEDGED_FACTOR 8

/*
 * A grant is raised to at most this part of what is free afterwards, and lowered above that part of what is
 * free now. The gap between the two keeps a grant from going up and down all the time.
 */
#define MEMORY_RAISE_DIVISOR 4
#define MEMORY_LOWER_DIVISOR 2

void stream_memory_init(struct stream_memory *memory, const struct client_settings *settings,
			uint64_t ring_size)
{
	*memory = (struct stream_memory){ .settings = settings, .ring_size = ring_size };
}

uint64_t stream_memory_limit(const struct stream_memory *memory)
{
	return client_settings_socket_memory(memory->settings, memory->ring_size);
}

static uint64_t memory_charge(uint64_t bytes)
{
	return bytes > MEMORY_GRANT_MIN ? bytes : 0;
}

static uint64_t memory_max_grant(const struct stream_memory *memory,
				 const struct client_settings *settings)
{
	return (uint64_t)client_settings_notsent_lowat(settings, memory->ring_size);
}

static uint64_t memory_min_grant(const struct stream_memory *memory,
				 const struct client_settings *settings)
{
	uint64_t max = memory_max_grant(memory, settings);

	return max < MEMORY_GRANT_MIN ? max : MEMORY_GRANT_MIN;
}

/* Return the bytes that are free if @bytes more are charged. The limit may have been lowered below the charge. */
static uint64_t memory_free(const struct stream_memory *memory, uint64_t bytes)
{
	uint64_t limit = stream_memory_limit(memory);

	return limit > memory->charged + bytes ? limit - memory->charged - bytes : 0;
}

static void memory_set_grant(struct stream_memory *memory, struct memory_grant *grant,
			     uint64_t bytes)
{
	assert(memory->charged >= memory_charge(grant->bytes));
	memory->charged -= memory_charge(grant->bytes);
	memory->charged += memory_charge(bytes);
	grant->bytes = bytes;
}

void stream_memory_join(const struct stream_memory *memory, const struct client_settings *settings,
			struct memory_grant *grant)
{
	*grant = (struct memory_grant){ .bytes = memory_min_grant(memory, settings) };
}

void stream_memory_leave(struct stream_memory *memory, struct memory_grant *grant)
{
	memory_set_grant(memory, grant, 0);
}

uint64_t stream_memory_raised(const struct stream_memory *memory,
			      const struct client_settings *settings,
			      const struct memory_grant *grant, uint64_t acknowledged)
{
	uint64_t max = memory_max_grant(memory, settings), bytes = 2 * grant->bytes, more;

	if (bytes > max)
		bytes = max;
	if (bytes <= grant->bytes ||
	    acknowledged < grant->acknowledged + MEMORY_ACKNOWLEDGED_FACTOR * bytes)
		return grant->bytes;
	more = memory_charge(bytes) - memory_charge(grant->bytes);
	return bytes <= memory_free(memory, more) / MEMORY_RAISE_DIVISOR ? bytes : grant->bytes;
}

void stream_memory_raise(struct stream_memory *memory, struct memory_grant *grant, uint64_t bytes,
			 uint64_t acknowledged)
{
	if (bytes <= grant->bytes)
		return;
	memory_set_grant(memory, grant, bytes);
	grant->acknowledged = acknowledged;
}

bool stream_memory_lower(struct stream_memory *memory, const struct client_settings *settings,
			 struct memory_grant *grant)
{
	uint64_t max = memory_max_grant(memory, settings), min = memory_min_grant(memory, settings);
	uint64_t bytes = grant->bytes;

	if (bytes > memory_free(memory, 0) / MEMORY_LOWER_DIVISOR)
		bytes /= 2;
	if (bytes < min)
		bytes = min;
	if (bytes > max)
		bytes = max;
	if (bytes >= grant->bytes)
		return false;
	memory_set_grant(memory, grant, bytes);
	return true;
}

void memory_grant_transfer(struct memory_grant *grant, struct stream_memory *memory,
			   struct state *state)
{
	uint64_t bytes = grant->bytes;

	state_enter(state, "grant");
	state_u64(state, "bytes", &bytes);
	state_u64(state, "acknowledged", &grant->acknowledged);
	/* An option of the socket, which is an int. */
	if (bytes > INT_MAX)
		state_fail(state, "%" PRIu64 " bytes; expected at most %d", bytes, INT_MAX);
	else if (!state_is_saving(state))
		memory_set_grant(memory, grant, bytes);
	state_leave(state);
}
