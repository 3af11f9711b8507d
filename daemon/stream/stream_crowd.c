// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_crowd.h"

#include "lib/address.h"
#include "lib/clock.h"

#include <assert.h>
#include <stdlib.h>

/* Upper bound for the clients that one call of stream_crowd_release_one() looks at, a system call or two each. */
#define MAX_LOOKS 64

/* An address that clients come from. It exists while a client does, or is about to. */
struct crowd_host {
	RB_ENTRY(crowd_host) entry;
	struct address_host address;
	uint64_t count;
	struct client_list half_closed; /* as of the crowd, by `host_half_closed_entry` */
};

static int crowd_compare_hosts(const struct crowd_host *a, const struct crowd_host *b)
{
	return address_host_compare(&a->address, &b->address);
}

/* RB_GENERATE_STATIC() of libbsd needs a macro that it does not define. */
RB_GENERATE_INTERNAL(crowd_hosts, crowd_host, entry, crowd_compare_hosts,
		     static __attribute__((unused)))

void stream_crowd_init(struct stream_crowd *crowd)
{
	*crowd = (struct stream_crowd){ .hosts = RB_INITIALIZER(&crowd->hosts) };
	TAILQ_INIT(&crowd->clients);
	TAILQ_INIT(&crowd->half_closed);
}

static struct crowd_host *crowd_find_host(const struct stream_crowd *crowd,
					  const struct sockaddr *peer)
{
	struct crowd_host wanted = { .address = address_host(peer) };

	/* A crowd is const for its readers, but RB_FIND() does not know readers. */
	return RB_FIND(crowd_hosts, (struct crowd_hosts *)(uintptr_t)&crowd->hosts, &wanted);
}

static struct crowd_host *crowd_add_host(struct stream_crowd *crowd, const struct sockaddr *peer)
{
	struct crowd_host *host = calloc(1, sizeof(*host));

	if (!host)
		return NULL;
	host->address = address_host(peer);
	TAILQ_INIT(&host->half_closed);
	RB_INSERT(crowd_hosts, &crowd->hosts, host);
	return host;
}

struct crowd_host *stream_crowd_reserve(struct stream_crowd *crowd, const struct sockaddr *peer)
{
	struct crowd_host *host = crowd_find_host(crowd, peer);

	if (!host)
		host = crowd_add_host(crowd, peer);
	if (host)
		host->count++;
	return host;
}

void stream_crowd_cancel(struct stream_crowd *crowd, struct crowd_host *host)
{
	assert(host->count);
	if (--host->count)
		return;
	assert(TAILQ_EMPTY(&host->half_closed));
	RB_REMOVE(crowd_hosts, &crowd->hosts, host);
	free(host);
}

void stream_crowd_join(struct stream_crowd *crowd, struct client *client, struct crowd_host *host)
{
	client->host = host;
	TAILQ_INSERT_TAIL(&crowd->clients, client, entry);
	crowd->count++;
}

static void crowd_forget_half_closed(struct stream_crowd *crowd, struct client *client)
{
	TAILQ_REMOVE(&crowd->half_closed, client, half_closed_entry);
	TAILQ_REMOVE(&client->host->half_closed, client, host_half_closed_entry);
	client->is_half_closed = false;
}

void stream_crowd_leave(struct stream_crowd *crowd, struct client *client)
{
	if (client->is_half_closed)
		crowd_forget_half_closed(crowd, client);
	TAILQ_REMOVE(&crowd->clients, client, entry);
	crowd->count--;
	stream_crowd_cancel(crowd, client->host);
	client->host = NULL;
}

uint64_t stream_crowd_count_from(const struct stream_crowd *crowd, const struct sockaddr *peer)
{
	const struct crowd_host *host = crowd_find_host(crowd, peer);

	return host ? host->count : 0;
}

static void crowd_append_half_closed(struct stream_crowd *crowd, struct client *client)
{
	client->is_half_closed = true;
	TAILQ_INSERT_TAIL(&crowd->half_closed, client, half_closed_entry);
	TAILQ_INSERT_TAIL(&client->host->half_closed, client, host_half_closed_entry);
}

void stream_crowd_add_half_closed(struct stream_crowd *crowd, struct client *client)
{
	assert(!client->is_half_closed);
	crowd_append_half_closed(crowd, client);
}

/* Release this half-closed client, or move it behind the others if it owes something. Return: false if it stays. */
static bool crowd_try_release(struct stream_crowd *crowd, struct client *client)
{
	crowd_forget_half_closed(crowd, client);
	if (!client_proof_ns(client, clock_monotonic_ns()))
		return false;
	if (!client_owes_nothing(client)) {
		crowd_append_half_closed(crowd, client);
		return false;
	}
	client_release(client, LEAVE_HALF_CLOSED,
		       "half-closed by the peer, and its place was needed");
	return true;
}

static struct client_list *crowd_half_closed_from(struct stream_crowd *crowd,
						  const struct sockaddr *peer)
{
	struct crowd_host *host = crowd_find_host(crowd, peer);

	return host ? &host->half_closed : NULL;
}

bool stream_crowd_release_one(struct stream_crowd *crowd, const struct sockaddr *peer)
{
	const struct client_list *list =
		peer ? crowd_half_closed_from(crowd, peer) : &crowd->half_closed;
	const struct client *moved = NULL; /* the first one that moved: no other is left */

	for (unsigned int looks = 0; list && looks < MAX_LOOKS; looks++) {
		struct client *client = TAILQ_FIRST(list);

		if (!client || client == moved)
			return false;
		if (crowd_try_release(crowd, client))
			return true;
		if (!moved && client->is_half_closed)
			moved = client;
	}
	return false;
}

uint64_t stream_crowd_alive(const struct stream_crowd *crowd, uint64_t *next_proof_ns)
{
	uint64_t now_ns = clock_monotonic_ns(), alive = 0;
	const struct client *client;

	*next_proof_ns = 0;
	TAILQ_FOREACH (client, &crowd->clients, entry) {
		uint64_t proof_ns = client_proof_ns(client, now_ns);

		if (!client_is_active(client))
			continue;
		alive += !proof_ns;
		if (proof_ns && (!*next_proof_ns || proof_ns < *next_proof_ns))
			*next_proof_ns = proof_ns;
	}
	return alive;
}
