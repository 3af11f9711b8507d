/* SPDX-License-Identifier: BSD-2-Clause */
/* A client of the daemon whose peer is the other end of a connection over loopback. */
#ifndef DMACAST_TEST_CLIENTPAIR_H
#define DMACAST_TEST_CLIENTPAIR_H

#include "stream/client.h"

#include "loopback.h"

/* Let a client join @group. @buffer: as of connect_pair(). @peer: out: its other end. Exit on failure. */
static inline struct client *clientpair_join(const struct client_group *group, int buffer,
					     int *peer)
{
	static const struct family ipv4 = { "IPv4", AF_INET, AF_INET };
	const struct sockaddr_in nobody = { .sin_family = AF_INET };
	struct client *client;
	int sender;

	if (!connect_pair(&ipv4, buffer, &sender, peer))
		errx(1, "no connection");
	client = client_create(group, sender, (const struct sockaddr *)&nobody, sizeof(nobody));
	if (!client)
		errx(1, "no client");
	return client;
}

#endif
