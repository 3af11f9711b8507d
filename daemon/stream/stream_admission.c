// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_admission.h"

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/descriptors.h"
#include "stream/stream_events.h"

#include <unistd.h>

void stream_admission_init(struct stream_admission *admission, const struct client_group *group,
			   struct stream_stats *stats, struct endpoint_stats *endpoint_stats)
{
	*admission = (struct stream_admission){ .group = group,
						.stats = stats,
						.endpoint_stats = endpoint_stats };
}

static bool admission_is_from(const struct client *client, const struct sockaddr *peer)
{
	return address_same_host((const struct sockaddr *)&client->peer, peer);
}

static uint64_t admission_count_from(const struct client_list *clients, const struct sockaddr *peer)
{
	const struct client *client;
	uint64_t count = 0;

	TAILQ_FOREACH (client, clients, entry)
		count += admission_is_from(client, peer);
	return count;
}

/* Return the reason why this client is refused, or REFUSE_REASONS. */
static enum refuse_reason admission_refusal(const struct stream_admission *admission, int fd,
					    const struct sockaddr *peer,
					    const struct stream_crowd *crowd, uint64_t now_ns)
{
	const struct client_settings *settings = admission->group->settings;

	if (!access_list_allows(&settings->access, peer))
		return REFUSE_DENIED;
	if (!rate_limit_allows(&admission->connects, settings->connect_rate, now_ns))
		return REFUSE_CONNECT_RATE;
	if (crowd->count >= settings->max_clients)
		return REFUSE_MAX_CLIENTS;
	if (settings->max_clients_per_address &&
	    admission_count_from(&crowd->clients, peer) >= settings->max_clients_per_address)
		return REFUSE_MAX_PER_ADDRESS;
	if (descriptors_is_reserved(fd))
		return REFUSE_NO_DESCRIPTOR;
	return REFUSE_REASONS;
}

/* Return true if another client may make place where this limit is reached. */
static bool admission_can_release(enum refuse_reason why)
{
	return why == REFUSE_MAX_CLIENTS || why == REFUSE_MAX_PER_ADDRESS ||
	       why == REFUSE_NO_DESCRIPTOR;
}

/* Release a half-closed client, of the address of @peer unless that is NULL. Return: false if there is none. */
static bool admission_release_one(struct stream_crowd *crowd, const struct sockaddr *peer)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct client *client, *next;

	TAILQ_FOREACH_SAFE (client, &crowd->half_closed, half_closed_entry, next) {
		if (peer && !admission_is_from(client, peer))
			continue;
		if (!client_proof_ns(client, now_ns)) {
			stream_crowd_forget_half_closed(crowd, client);
		} else if (client_owes_nothing(client)) {
			client_release(client, LEAVE_HALF_CLOSED,
				       "half-closed by the peer, and its place was needed");
			return true;
		}
	}
	return false;
}

void stream_admission_count(struct stream_admission *admission, enum refuse_reason why)
{
	admission->stats->refused++;
	admission->stats->refused_for[why]++;
	admission->endpoint_stats->refused++;
}

static void admission_refuse(struct stream_admission *admission, int fd,
			     const struct sockaddr *peer, enum refuse_reason why)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	char text[ADDRESS_TEXT];

	stream_admission_count(admission, why);
	stream_events_refused(admission->group, peer, why);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	log_limited(&admission->refuse_log, LOG_LEVEL_WARNING, "stream %s: client %s refused: %s",
		    admission->group->stream_name, address_format(peer, text),
		    refuse_reason_text(why));
}

bool stream_admission_check(struct stream_admission *admission, int fd, const struct sockaddr *peer,
			    struct stream_crowd *crowd)
{
	uint64_t now_ns = clock_monotonic_ns();
	enum refuse_reason why = admission_refusal(admission, fd, peer, crowd, now_ns);
	bool released = true;

	while (admission_can_release(why) && released) {
		released =
			admission_release_one(crowd, why == REFUSE_MAX_PER_ADDRESS ? peer : NULL);
		/* A released descriptor is one for the next client; this one has its own already. */
		if (why == REFUSE_NO_DESCRIPTOR)
			break;
		why = admission_refusal(admission, fd, peer, crowd, now_ns);
	}
	if (why == REFUSE_REASONS) {
		rate_limit_count(&admission->connects, admission->group->settings->connect_rate,
				 now_ns);
		return true;
	}
	admission_refuse(admission, fd, peer, why);
	return false;
}

void stream_crowd_add_half_closed(struct stream_crowd *crowd, struct client *client)
{
	client->is_half_closed = true;
	TAILQ_INSERT_TAIL(&crowd->half_closed, client, half_closed_entry);
}

void stream_crowd_forget_half_closed(struct stream_crowd *crowd, struct client *client)
{
	if (client->is_half_closed)
		TAILQ_REMOVE(&crowd->half_closed, client, half_closed_entry);
	client->is_half_closed = false;
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
