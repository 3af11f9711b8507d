/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon, its streams and its clients as JSON: what the control socket and /status.json show. */
#ifndef DMACAST_REPORT_H
#define DMACAST_REPORT_H

#include <jansson.h>
#include <stdint.h>

struct streams;

/* Each returns a new reference; NULL without memory. */

/** report_daemon() - an object: version, pid, since when it runs. */
json_t *report_daemon(void);

/** report_streams() - an array, one object for each name that a stream had. */
json_t *report_streams(const struct streams *streams);

/* Of a long list so many, from one on. */
struct report_page {
	uint64_t first; /* counted from 0 */
	uint64_t limit;
	uint64_t total; /* out: how many there are */
};

/**
 * report_clients() - an array, one object for each client.
 * @name: of this stream only; NULL: of all
 * @page: these of them only; NULL: all of them
 */
json_t *report_clients(const struct streams *streams, const char *name, struct report_page *page);

#endif
