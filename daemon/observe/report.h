/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon, its streams and its clients as JSON, for the control socket and /status.json. */
#ifndef DMACAST_REPORT_H
#define DMACAST_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct client;
struct streams;

/* Each function returns a new reference, or NULL without memory. */

/** report_daemon() - return an object: version, process, time of the start, and turns of the event loop. */
json_t *report_daemon(void);

/** report_streams() - return an array with an object for each name that a stream has had. */
json_t *report_streams(const struct streams *streams);

/**
 * report_client() - return an object for one client.
 * @stream: name of its stream
 * @now_ns: monotonic
 */
json_t *report_client(const struct client *client, const char *stream, uint64_t now_ns);

/* A part of a long list. */
struct report_page {
	uint64_t first; /* index of its first element */
	uint64_t limit; /* elements */
	uint64_t total; /* out: elements of the whole list */
};

/**
 * report_clients() - return an array with an object for each client.
 * @name: the stream, or NULL for every stream
 * @page: the part wanted
 */
json_t *report_clients(const struct streams *streams, const char *name, struct report_page *page);

/** report_write_clients() - write an array with an object for each client. Return: false without memory. */
bool report_write_clients(FILE *file, const struct streams *streams);

#endif
