/* SPDX-License-Identifier: BSD-2-Clause */
/* Admission of clients to a stream: its limits, and how refusals are counted and logged. */
#ifndef DMACAST_STREAM_ADMISSION_H
#define DMACAST_STREAM_ADMISSION_H

#include "lib/log.h"
#include "lib/settings.h"
#include "lib/stats.h"
#include "stream/client.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct stream_admission {
	const struct stream_settings *settings;
	struct stream_stats *stats;
	struct log_limit refuse_log;
};

/** stream_admission_init() - @settings, @stats: must outlive @admission */
void stream_admission_init(struct stream_admission *admission,
			   const struct stream_settings *settings, struct stream_stats *stats);

/**
 * stream_admission_check() - check an accepted connection against the limits.
 * @fd: reset and closed if the client is refused
 * @clients: all clients of the stream
 * @count: their number
 *
 * Return: true if the client may join. A refusal is counted and logged.
 */
bool stream_admission_check(struct stream_admission *admission, int fd, const struct sockaddr *peer,
			    const struct client_list *clients, uint64_t count);

/** stream_admission_count() - count a client that was refused, or could not be made. */
void stream_admission_count(struct stream_admission *admission, enum refuse_reason why);

#endif
