// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_admission.h"

#include "lib/address.h"
#include "lib/descriptors.h"

#include <unistd.h>

void stream_admission_init(struct stream_admission *admission,
			   const struct stream_settings *settings, struct stream_stats *stats)
{
	*admission = (struct stream_admission){ .settings = settings, .stats = stats };
}

static uint64_t admission_count_from(const struct client_list *clients, const struct sockaddr *peer)
{
	const struct client *client;
	uint64_t count = 0;

	TAILQ_FOREACH (client, clients, entry)
		count += address_same_host((const struct sockaddr *)&client->peer, peer);
	return count;
}

/* Return the reason why this client is refused, or REFUSE_REASONS. */
static enum refuse_reason admission_refusal(const struct stream_settings *settings, int fd,
					    const struct sockaddr *peer,
					    const struct client_list *clients, uint64_t count)
{
	if (count >= settings->max_clients)
		return REFUSE_MAX_CLIENTS;
	if (settings->max_clients_per_address &&
	    admission_count_from(clients, peer) >= settings->max_clients_per_address)
		return REFUSE_MAX_PER_ADDRESS;
	if (descriptors_is_reserved(fd))
		return REFUSE_NO_DESCRIPTOR;
	return REFUSE_REASONS;
}

void stream_admission_count(struct stream_admission *admission, enum refuse_reason why)
{
	admission->stats->refused++;
	admission->stats->refused_for[why]++;
}

static void admission_refuse(struct stream_admission *admission, int fd,
			     const struct sockaddr *peer, enum refuse_reason why)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	char text[ADDRESS_TEXT];

	stream_admission_count(admission, why);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	log_limited(&admission->refuse_log, LOG_LEVEL_WARNING, "stream %s: client %s refused: %s",
		    admission->settings->name, address_format(peer, text), refuse_reason_text(why));
}

bool stream_admission_check(struct stream_admission *admission, int fd, const struct sockaddr *peer,
			    const struct client_list *clients, uint64_t count)
{
	enum refuse_reason why = admission_refusal(admission->settings, fd, peer, clients, count);

	if (why == REFUSE_REASONS)
		return true;
	admission_refuse(admission, fd, peer, why);
	return false;
}
