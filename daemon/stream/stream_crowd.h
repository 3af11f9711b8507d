/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clients of a section, counted by the address of their host. The cost of each function, except of
 * stream_crowd_alive(), grows with the logarithm of the number of addresses, and not with that of clients.
 */
#ifndef DMACAST_STREAM_CROWD_H
#define DMACAST_STREAM_CROWD_H

#include "stream/client.h"

#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct crowd_host;

RB_HEAD(crowd_hosts, crowd_host);

struct stream_crowd {
	struct client_list clients; /* all that are not GONE */
	uint64_t count;
	/* Those that have half-closed and are not known to be alive, by `half_closed_entry`. */
	struct client_list half_closed;
	struct crowd_hosts hosts;
};

/** stream_crowd_init() - begin without clients. */
void stream_crowd_init(struct stream_crowd *crowd);

/**
 * stream_crowd_reserve() - count a client of the address of @peer before it is made.
 *
 * stream_crowd_join() or stream_crowd_cancel() must follow at once. Return: NULL without memory.
 */
struct crowd_host *stream_crowd_reserve(struct stream_crowd *crowd, const struct sockaddr *peer);

/** stream_crowd_cancel() - undo stream_crowd_reserve(). */
void stream_crowd_cancel(struct stream_crowd *crowd, struct crowd_host *host);

/** stream_crowd_join() - add a client for which stream_crowd_reserve() returned @host. */
void stream_crowd_join(struct stream_crowd *crowd, struct client *client, struct crowd_host *host);

/** stream_crowd_leave() - remove a client. */
void stream_crowd_leave(struct stream_crowd *crowd, struct client *client);

/** stream_crowd_count_from() - return the number of clients with the address of @peer, whatever their ports. */
uint64_t stream_crowd_count_from(const struct stream_crowd *crowd, const struct sockaddr *peer);

/** stream_crowd_add_half_closed() - note a client that has half-closed; at most once. */
void stream_crowd_add_half_closed(struct stream_crowd *crowd, struct client *client);

/**
 * stream_crowd_release_one() - release a half-closed client that owes nothing and is not known to be alive.
 * @peer: only one with this address; NULL: any
 *
 * The client is removed by its gone(). Each call looks at a limited number of clients, those first that were
 * not looked at for the longest time. Return: false if it found none.
 */
bool stream_crowd_release_one(struct stream_crowd *crowd, const struct sockaddr *peer);

/**
 * stream_crowd_alive() - return the number of active clients that are known to be alive.
 * @next_proof_ns: out: monotonic time at which the next one will be; 0: never
 *
 * It looks at all clients.
 */
uint64_t stream_crowd_alive(const struct stream_crowd *crowd, uint64_t *next_proof_ns);

#endif
