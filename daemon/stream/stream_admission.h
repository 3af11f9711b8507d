/* SPDX-License-Identifier: BSD-2-Clause */
/* Admission of clients to a section: its limits, and how refusals are counted and logged. */
#ifndef DMACAST_STREAM_ADMISSION_H
#define DMACAST_STREAM_ADMISSION_H

#include "lib/log.h"
#include "lib/rate_limit.h"
#include "lib/stats.h"
#include "stream/client.h"
#include "stream/stream_crowd.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct state;

struct stream_admission {
	const struct client_group *group;
	struct stream_stats *stats;
	struct endpoint_stats *endpoint_stats;
	struct rate_limit connects;
	struct log_limit refuse_log;
};

/** stream_admission_init() - all parameters must outlive @admission; @group has the settings in effect */
void stream_admission_init(struct stream_admission *admission, const struct client_group *group,
			   struct stream_stats *stats, struct endpoint_stats *endpoint_stats);

/**
 * stream_admission_check() - check an accepted connection against the limits.
 * @fd: reset and closed if the client is refused
 *
 * Where a limit is reached, a half-closed client that owes nothing and is not known to be alive gives its
 * place to the new one; it is removed from @crowd by its gone().
 *
 * Return: true if the client may join. A refusal is counted and logged.
 */
bool stream_admission_check(struct stream_admission *admission, int fd, const struct sockaddr *peer,
			    struct stream_crowd *crowd);

/** stream_admission_transfer() - save or restore the object "admission"; see state.h. */
void stream_admission_transfer(struct stream_admission *admission, struct state *state);

/** stream_admission_count() - count a client that was refused, or could not be made. */
void stream_admission_count(struct stream_admission *admission, enum refuse_reason why);

#endif
