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

/* The IP address of a peer, without its port. */
struct address_host {
	int family;
	unsigned char bytes[16]; /* the first 4 of them for AF_INET; the rest is zero */
};

/** address_host() - return the IP address; that of an IPv4-mapped address is the IPv4 address. */
struct address_host address_host(const struct sockaddr *sockaddr);

/** address_host_compare() - return 0 for the same address, else a sign that orders all of them. */
int address_host_compare(const struct address_host *a, const struct address_host *b);

#endif
