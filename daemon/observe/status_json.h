/* SPDX-License-Identifier: BSD-2-Clause */
/* The documents of /status.json. */
#ifndef DMACAST_STATUS_JSON_H
#define DMACAST_STATUS_JSON_H

#include "observe/client_choice.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct streams;

/**
 * status_json_write() - write the daemon, its streams and, with @per_client, all clients.
 *
 * Takes time proportional to the number of clients. Return: false without memory.
 */
bool status_json_write(FILE *file, const struct streams *streams, bool per_client);

/* A document for a viewer who asks again and again. */
struct status_view {
	const struct streams *streams;
	const struct client_choice *choice; /* NULL: without clients */
	uint64_t interval_ns;		    /* time after which a newer one may be had */
};

/** status_json_write_view() - write it on one line. Return: false without memory. */
bool status_json_write_view(FILE *file, const struct status_view *view);

#endif
