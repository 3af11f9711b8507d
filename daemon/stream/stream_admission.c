// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_admission.h"

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/descriptors.h"
#include "lib/state.h"
#include "stream/stream_events.h"

#include <unistd.h>

void stream_admission_init(struct stream_admission *admission, const struct client_group *group,
			   struct stream_stats *stats, struct endpoint_stats *endpoint_stats)
{
	*admission = (struct stream_admission){ .group = group,
						.stats = stats,
						.endpoint_stats = endpoint_stats };
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
	    stream_crowd_count_from(crowd, peer) >= settings->max_clients_per_address)
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

	/* One for each of the two limits of clients: after a reload their number may be far above. */
	for (int i = 0; i < 2 && admission_can_release(why); i++) {
		const struct sockaddr *host = why == REFUSE_MAX_PER_ADDRESS ? peer : NULL;

		if (!stream_crowd_release_one(crowd, host))
			break;
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

void stream_admission_transfer(struct stream_admission *admission, struct state *state)
{
	state_enter(state, "admission");
	rate_limit_transfer(&admission->connects, state, "connects");
	log_limit_transfer(&admission->refuse_log, state, "refuse_log");
	state_leave(state);
}
