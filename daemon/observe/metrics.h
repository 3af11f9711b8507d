/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP listener: GET /metrics for Prometheus, GET /status.json for programs, GET / for people.
 *
 * HTTP clients cannot hold up the daemon: the number and the duration of connections are limited, and a document is
 * kept and sent again if making a new one would take too large a part of the time (rendering.h). Nothing can be
 * changed here.
 */
#ifndef DMACAST_METRICS_H
#define DMACAST_METRICS_H

#include <stdbool.h>

struct event_base;
struct metrics;
struct names;
struct streams;

/**
 * metrics_open() - listen.
 * @address: as in `metrics`
 * @per_client: show each client, too
 * @streams: the streams to report on; must outlive the listener
 * @names: has the host of @address, if that is a name
 *
 * Return: NULL after an error, which was logged.
 */
struct metrics *metrics_open(struct event_base *base, const char *address, bool per_client,
			     const struct streams *streams, const struct names *names);

/** metrics_close() - close the listener and all its connections. */
void metrics_close(struct metrics *metrics);

#endif
