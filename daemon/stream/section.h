/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A section: the endpoints of a stream that share the options of their clients, and these clients. The
 * first section of a stream has the `listen` lines of the stream itself; each [endpoint NAME] is another.
 *
 *   CURRENT ─ a reload removes it ─▶ REMOVED: its clients get the rest ─ the last one is gone ─▶ freed
 */
#ifndef DMACAST_SECTION_H
#define DMACAST_SECTION_H

#include "lib/settings.h"
#include "lib/stats.h"
#include "stream/client.h"
#include "stream/endpoints.h"
#include "stream/stream_admission.h"
#include "stream/stream_crowd.h"
#include "stream/stream_lag.h"

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

struct stream;

struct section {
	TAILQ_ENTRY(section) entry;
	struct stream *stream;
	char *name;  /* of [endpoint NAME]; NULL: the stream's own endpoints */
	char *label; /* for the log: "adc", "adc: endpoint viewers" */
	const struct text_list *listen;
	struct client_group group;
	struct endpoints endpoints;
	struct stream_crowd crowd;
	struct stream_admission admission;
	struct endpoint_stats *stats; /* totals of the name */
	struct lag_rule lag_rule;
	/* REMOVED: */
	bool removed;
	struct client_settings last; /* without the texts and the list */
	uint64_t drain_ns;	     /* monotonic time at which the clients are reset */
};

TAILQ_HEAD(section_list, section);

/**
 * section_create() - create a section without endpoints and clients.
 * @name: copied; NULL: the stream's own endpoints
 * @common: what the clients of all sections have in common; `settings` and the names are set here
 * @accepted: gets the connections, with the section as its argument
 *
 * section_use() must follow. Return: NULL without memory; that is logged.
 */
struct section *section_create(struct stream *stream, const char *name,
			       const struct client_group *common, struct stream_stats *stats,
			       const struct listener_callbacks *callbacks);

/** section_use() - take the settings, which must outlive this use, from now on. */
void section_use(struct section *section, const struct client_settings *settings,
		 const struct text_list *listen);

/** section_remove() - begin REMOVED: keep the plain values of the settings, which are freed by the caller. */
void section_remove(struct section *section);

/**
 * section_check() - return false if the kernel refuses a value of @settings, which is logged.
 * @label: as in struct section
 */
bool section_check(const struct client_settings *settings, const char *label);

/** section_free() - free a section without clients. */
void section_free(struct section *section);

#endif
