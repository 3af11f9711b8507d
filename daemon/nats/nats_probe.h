/* SPDX-License-Identifier: BSD-2-Clause */
/* The name of a stream of dmacastd, by its first metadata. */
#ifndef DMACAST_NATS_PROBE_H
#define DMACAST_NATS_PROBE_H

#include "lib/stream_url.h"
#include "nats/nats_subject.h"

#include <stdbool.h>

struct cat_report;

/**
 * nats_probe() - connect to a stream until its metadata is there.
 * @wait: try again and again
 * @name: out: the name, with '_' for what a subject cannot have
 *
 * Return: false after an error, which was reported, or a signal.
 */
bool nats_probe(struct stream_url *url, bool wait, struct cat_report *report,
		char name[NATS_SUBJECT_BYTES]);

#endif
