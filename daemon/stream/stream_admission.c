// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_admission.h"

#include "lib/address.h"

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

/* Return the reason why this client is refused, or NULL. */
static const char *admission_refusal(const struct stream_settings *settings,
				     const struct sockaddr *peer, const struct client_list *clients,
				     uint64_t count)
{
	if (count >= settings->max_clients)
		return "max-clients is reached";
	if (settings->max_clients_per_address &&
	    admission_count_from(clients, peer) >= settings->max_clients_per_address)
		return "max-clients-per-address is reached";
	return NULL;
}

static void admission_refuse(struct stream_admission *admission, int fd,
			     const struct sockaddr *peer, const char *why)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	char text[ADDRESS_TEXT];

	admission->stats->refused++;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	log_limited(&admission->refuse_log, LOG_LEVEL_WARNING, "stream %s: client %s refused: %s",
		    admission->settings->name, address_format(peer, text), why);
}

bool stream_admission_check(struct stream_admission *admission, int fd, const struct sockaddr *peer,
			    const struct client_list *clients, uint64_t count)
{
	const char *why = admission_refusal(admission->settings, peer, clients, count);

	if (why)
		admission_refuse(admission, fd, peer, why);
	return !why;
}
