/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon, its streams and its clients as JSON: what the control socket and /status.json show. */
#ifndef DMACAST_REPORT_H
#define DMACAST_REPORT_H

#include <jansson.h>

struct streams;

/* Each returns a new reference; NULL without memory. */

/** report_daemon() - an object: version, pid, since when it runs. */
json_t *report_daemon(void);

/** report_streams() - an array, one object for each name that a stream had. */
json_t *report_streams(const struct streams *streams);

/** report_clients() - an array, one object for each client. @name: of this stream only; NULL: of all */
json_t *report_clients(const struct streams *streams, const char *name);

#endif
