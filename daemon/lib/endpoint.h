/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of an endpoint, where clients connect: "HOST:PORT", or "systemd:NAME" for the sockets that
 * the service manager passes under that name. */
#ifndef DMACAST_ENDPOINT_H
#define DMACAST_ENDPOINT_H

#include "lib/address.h"

#include <stdbool.h>

struct endpoint {
	const char *socket_name; /* within the parsed text; NULL: `address` is valid */
	struct address address;
};

/**
 * endpoint_parse() - parse "HOST:PORT" or "systemd:NAME".
 * @text: must outlive @endpoint
 * @expected: out: on failure, what would be right
 */
bool endpoint_parse(const char *text, struct endpoint *endpoint, const char **expected);

/** endpoint_is_same() - return true if only one stream can have both. Port 0 differs from itself. */
bool endpoint_is_same(const char *a, const char *b);

/**
 * endpoint_conflicts() - return true if not both can be open: they are the same, or they have one port and
 * one of them stands for every address of a family that the other one is in.
 */
bool endpoint_conflicts(const char *a, const char *b);

/** endpoint_shares_port() - return true if one may have to be closed before the other can be opened. */
bool endpoint_shares_port(const char *a, const char *b);

#endif
