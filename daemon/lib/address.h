/* SPDX-License-Identifier: BSD-2-Clause */
/* "HOST:PORT" as people write it, and addresses for people to read. */
#ifndef DMACAST_ADDRESS_H
#define DMACAST_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct address {
	char host[256]; /* empty: every local address */
	char port[32];
};

/* Enough for every text that address_format() writes. */
#define ADDRESS_TEXT 64

/**
 * address_parse() - split "host:port", "1.2.3.4:port", "[v6]:port", "*:port" or ":port".
 * @expected: out: when false is returned, what would be right
 */
bool address_parse(const char *text, struct address *address, const char **expected);

/** address_format() - "1.2.3.4:80" or "[::1]:80", an IPv4 address in IPv6 clothes as IPv4. */
const char *address_format(const struct sockaddr *sockaddr, char text[ADDRESS_TEXT]);

/** address_same_host() - do both belong to the same host, whatever the port? */
bool address_same_host(const struct sockaddr *a, const struct sockaddr *b);

#endif
