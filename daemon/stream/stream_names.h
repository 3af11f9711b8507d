/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What outlives the streams of one name: the totals, which only grow while the name is configured;
 * and the settings of a stream that ended by itself, so that a reload does not start it again unless
 * they have changed.
 */
#ifndef DMACAST_STREAM_NAMES_H
#define DMACAST_STREAM_NAMES_H

#include "lib/settings.h"
#include "lib/stats.h"
#include "stream/stream_report.h"

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state;

struct name_totals {
	TAILQ_ENTRY(name_totals) entry;
	char *name;
	struct stream_stats stats;
	unsigned int users; /* streams that count here */
};

TAILQ_HEAD(name_totals_list, name_totals);

struct finished_stream;

TAILQ_HEAD(finished_stream_list, finished_stream);

struct stream_names {
	struct name_totals_list totals; /* in the order in which the names appeared */
	struct finished_stream_list finished;
};

/** stream_names_init() - start without names. */
void stream_names_init(struct stream_names *names);

/**
 * stream_names_use() - get the totals of @name for one more stream; name_totals_release() ends that.
 *
 * Return: NULL without memory; that is logged.
 */
struct name_totals *stream_names_use(struct stream_names *names, const char *name);

/** name_totals_release() - the stream counts no longer. The totals stay. */
void name_totals_release(struct name_totals *totals);

/** stream_names_finished() - remember that a stream of these settings has ended by itself. */
void stream_names_finished(struct stream_names *names, const struct stream_settings *settings);

/** stream_names_started() - forget that a stream of this name has ended by itself. */
void stream_names_started(struct stream_names *names, const char *name);

/** stream_names_is_finished() - return true if a stream of exactly these settings ended by itself. */
bool stream_names_is_finished(const struct stream_names *names,
			      const struct stream_settings *settings);

/** stream_names_is_unchanged() - return true if both have the same name and the same options. */
bool stream_names_is_unchanged(const struct stream_settings *a, const struct stream_settings *b);

/** stream_names_forget_others() - forget names that are not in @settings and that no stream uses. */
void stream_names_forget_others(struct stream_names *names, const struct stream_settings *settings,
				size_t count);

/** stream_names_save() - save the object "names"; see state.h. */
void stream_names_save(const struct stream_names *names, struct state *state);

/** stream_names_restore() - restore it. @names: without names; after a failure, some may be there */
void stream_names_restore(struct stream_names *names, struct state *state);

/** stream_names_free() - free everything except totals that a stream still uses. */
void stream_names_free(struct stream_names *names);

/* All streams that one name ever had. */
struct name_report {
	const char *name;
	const struct stream_stats *stats; /* totals; of clients, those that left */
	struct client_totals totals;	  /* all clients, left and present */
	uint64_t clients;		  /* present */
	uint64_t outstanding_sends;
	uint64_t socket_memory_granted; /* bytes */
	uint64_t most_lag_bytes;	/* of the slowest client */
	uint64_t most_lag_ns;
	uint64_t queued_input_bytes;
	uint64_t copied_rest_bytes;
	unsigned int generations;    /* streams that have not ended */
	struct stream_report newest; /* the one that new clients join; valid if generations > 0 */
};

/** name_report_init() - report a name without streams. */
void name_report_init(struct name_report *report, const struct name_totals *totals);

/** name_report_add() - add a stream of this name, the newest one first. */
void name_report_add(struct name_report *report, const struct stream_report *stream);

#endif
