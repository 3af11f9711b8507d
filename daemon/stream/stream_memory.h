/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The account of what the sockets of one stream's clients may hold unsent, and its limit, `socket-memory`.
 *
 * Memory that a stalled client's socket holds comes back only with the end of the connection, so the
 * kernel must not be given it in the first place. Each socket has a grant, its TCP_NOTSENT_LOWAT:
 *
 *   a new client: MEMORY_GRANT_MIN, which is not charged
 *     ─ the peer acknowledges, and enough is free ─▶ twice as much, up to `notsent-lowat`
 *     ◀─ others need memory, and the socket has sent what it held ─ half as much
 *
 * A larger grant is charged in full, until it shrinks or the client leaves. What is free bounds each grant,
 * so the grants of many busy clients become alike (dynamic thresholds, as in shared switch buffers).
 *
 * The kernel looks at the limit before it begins a packet. A socket can therefore hold a packet of up to
 * 64 KiB more than its grant.
 */
#ifndef DMACAST_STREAM_MEMORY_H
#define DMACAST_STREAM_MEMORY_H

#include "lib/settings.h"

#include <stdbool.h>
#include <stdint.h>

/* Grant of a new client, in bytes. */
#define MEMORY_GRANT_MIN (16U << 10)

struct state;

struct stream_memory {
	const struct client_settings *settings; /* socket-memory, for the clients of all sections */
	uint64_t ring_size;			/* bytes */
	uint64_t charged; /* bytes; sum of the grants above MEMORY_GRANT_MIN */
};

/* A client's part. */
struct memory_grant {
	uint64_t bytes;
	uint64_t acknowledged; /* bytes that the peer had acknowledged at the last raise */
};

/**
 * stream_memory_init() - start without clients.
 * @settings: must outlive @memory
 * @ring_size: bytes
 */
void stream_memory_init(struct stream_memory *memory, const struct client_settings *settings,
			uint64_t ring_size);

/** stream_memory_limit() - return `socket-memory` in bytes. */
uint64_t stream_memory_limit(const struct stream_memory *memory);

/** stream_memory_join() - give a new client its first grant. @settings: of its section */
void stream_memory_join(const struct stream_memory *memory, const struct client_settings *settings,
			struct memory_grant *grant);

/** stream_memory_leave() - take back the grant of a client whose socket was closed, or is about to be. */
void stream_memory_leave(struct stream_memory *memory, struct memory_grant *grant);

/**
 * stream_memory_raised() - return the grant that a client should get: twice what it has.
 * @settings: of its section
 * @acknowledged: bytes that the peer has acknowledged since it joined, or an upper bound of them
 *
 * Return: bytes; the present grant if it should not change.
 */
uint64_t stream_memory_raised(const struct stream_memory *memory,
			      const struct client_settings *settings,
			      const struct memory_grant *grant, uint64_t acknowledged);

/** stream_memory_raise() - give the client what stream_memory_raised() returned, if that is more. */
void stream_memory_raise(struct stream_memory *memory, struct memory_grant *grant, uint64_t bytes,
			 uint64_t acknowledged);

/**
 * stream_memory_lower() - take back a part of a grant that is too large for the settings or for what is free.
 * @settings: of its section
 *
 * Call this when the socket has less unsent than half of its grant, as EPOLLOUT reports.
 *
 * Return: true if the grant has changed.
 */
bool stream_memory_lower(struct stream_memory *memory, const struct client_settings *settings,
			 struct memory_grant *grant);

/**
 * memory_grant_transfer() - save the grant of a client, or restore and charge it. The sum of the charges is the only
 * state of @memory itself, so nothing else is saved for it.
 * @grant: restoring: all zero
 */
void memory_grant_transfer(struct memory_grant *grant, struct stream_memory *memory,
			   struct state *state);

#endif
