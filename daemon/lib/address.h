/* SPDX-License-Identifier: BSD-2-Clause */
/* "HOST:PORT" from and to text. */
#ifndef DMACAST_ADDRESS_H
#define DMACAST_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct address {
	char host[256]; /* empty: all local addresses */
	char port[32];
};

/* Enough for every text that address_format() writes. */
#define ADDRESS_TEXT 64

/**
 * address_parse() - split "host:port", "1.2.3.4:port", "[v6]:port", "*:port" or ":port".
 * @expected: out: on failure, what would be right
 */
bool address_parse(const char *text, struct address *address, const char **expected);

/** address_format() - write "1.2.3.4:80" or "[::1]:80"; an IPv4-mapped address as IPv4. Return: @text. */
const char *address_format(const struct sockaddr *sockaddr, char text[ADDRESS_TEXT]);

/**
 * address_bytes() - return the bytes of the IP address, 4 or 16; NULL if there is none.
 * @family: out: AF_INET, also for an IPv4-mapped address, or AF_INET6
 */
const unsigned char *address_bytes(const struct sockaddr *sockaddr, int *family);

/** address_same_host() - return true if both have the same IP address, whatever the port. */
bool address_same_host(const struct sockaddr *a, const struct sockaddr *b);

#endif
