/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP listener: GET /metrics for Prometheus, GET /status.json for everyone else.
 *
 * Whoever connects there cannot hold up the daemon: connections are few, and each has its time; a page
 * is kept and sent again where making it anew would take too large a part of the time, or where others
 * still read it slowly.
 */
#ifndef DMACAST_METRICS_H
#define DMACAST_METRICS_H

#include <stdbool.h>

struct event_base;
struct metrics;
struct streams;

/**
 * metrics_open() - listen.
 * @address: as in `metrics`
 * @per_client: show each client, too
 * @streams: to tell about; must outlive the listener
 *
 * Return: NULL after an error, which was logged.
 */
struct metrics *metrics_open(struct event_base *base, const char *address, bool per_client,
			     const struct streams *streams);

/** metrics_close() - close it and all its connections. */
void metrics_close(struct metrics *metrics);

#endif
