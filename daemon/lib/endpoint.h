/* SPDX-License-Identifier: BSD-2-Clause */
/* Where clients connect, as people write it: "HOST:PORT", or "systemd:NAME" for sockets of that name
 * that the service manager opened. */
#ifndef DMACAST_ENDPOINT_H
#define DMACAST_ENDPOINT_H

#include "lib/address.h"

#include <stdbool.h>

struct endpoint {
	const char *socket_name; /* within the text that was parsed; or NULL: */
	struct address address;
};

/**
 * endpoint_parse() - take "HOST:PORT" or "systemd:NAME" apart.
 * @expected: out: when false is returned, what would be right
 */
bool endpoint_parse(const char *text, struct endpoint *endpoint, const char **expected);

/** endpoint_is_same() - can only one stream have both? Port 0 is another port each time. */
bool endpoint_is_same(const char *a, const char *b);

/** endpoint_shares_port() - may it be that one can be opened only when the other one is closed? */
bool endpoint_shares_port(const char *a, const char *b);

#endif
