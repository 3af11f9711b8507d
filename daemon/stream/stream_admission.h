/* SPDX-License-Identifier: BSD-2-Clause */
/* Admission of clients to a section: its limits, and how refusals are counted and logged. */
#ifndef DMACAST_STREAM_ADMISSION_H
#define DMACAST_STREAM_ADMISSION_H

#include "lib/log.h"
#include "lib/rate_limit.h"
#include "lib/stats.h"
#include "stream/client.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

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

/* The clients of a section. */
struct stream_crowd {
	struct client_list clients; /* all that are not GONE */
	uint64_t count;
	/* Those that have half-closed and are not known to be alive, by `half_closed_entry`; oldest first. */
	struct client_list half_closed;
};

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

/** stream_crowd_add_half_closed() - note a client that has half-closed. */
void stream_crowd_add_half_closed(struct stream_crowd *crowd, struct client *client);

/** stream_crowd_forget_half_closed() - do the opposite, if it was noted. */
void stream_crowd_forget_half_closed(struct stream_crowd *crowd, struct client *client);

/**
 * stream_crowd_alive() - return the number of active clients that are known to be alive.
 * @next_proof_ns: out: monotonic time at which the next one will be; 0: never
 */
uint64_t stream_crowd_alive(const struct stream_crowd *crowd, uint64_t *next_proof_ns);

/** stream_admission_count() - count a client that was refused, or could not be made. */
void stream_admission_count(struct stream_admission *admission, enum refuse_reason why);

#endif
