// SPDX-License-Identifier: BSD-2-Clause
#include "lib/address.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *text, struct address *address)
{
	char *end;
	unsigned long port;

	if (*text < '0' || *text > '9')
		return false;
	port = strtoul(text, &end, 10);
	return !*end && port <= 65535 &&
	       strlcpy(address->port, text, sizeof(address->port)) < sizeof(address->port);
}

bool address_parse(const char *text, struct address *address, const char **expected)
{
	const char *host = text, *host_end, *colon;
	size_t length;

	*expected = "HOST:PORT, [IPV6]:PORT, *:PORT or :PORT";
	if (*text == '[') {
		host = text + 1;
		host_end = strchr(host, ']');
		if (!host_end || host_end == host || host_end[1] != ':')
			return false;
		colon = host_end + 1;
	} else {
		colon = strrchr(text, ':');
		if (!colon)
			return false;
		host_end = colon;
		if (memchr(text, ':', (size_t)(host_end - text))) {
			*expected = "an IPv6 address in brackets: [IPV6]:PORT";
			return false;
		}
	}
	if (!parse_port(colon + 1, address)) {
		*expected = "a port from 0 to 65535 after the last colon";
		return false;
	}
	length = (size_t)(host_end - host);
	if (length >= sizeof(address->host))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isgraph((unsigned char)host[i]) || host[i] == '[' || host[i] == ']')
			return false;
	}
	if (length == 1 && *host == '*') {
		if (host != text)
			return false; /* in brackets */
		length = 0;
	}
	memcpy(address->host, host, length);
	address->host[length] = '\0';
	return true;
}

/* Return the IPv4 address of @sockaddr, also if it is IPv4-mapped; NULL if it has none. */
static const struct in_addr *ipv4_of(const struct sockaddr *sockaddr)
{
	if (sockaddr->sa_family == AF_INET)
		return &((const struct sockaddr_in *)(const void *)sockaddr)->sin_addr;
	if (sockaddr->sa_family == AF_INET6) {
		const struct in6_addr *v6 =
			&((const struct sockaddr_in6 *)(const void *)sockaddr)->sin6_addr;

		if (IN6_IS_ADDR_V4MAPPED(v6))
			return (const struct in_addr *)(const void *)&v6->s6_addr[12];
	}
	return NULL;
}

const char *address_format(const struct sockaddr *sockaddr, char text[ADDRESS_TEXT])
{
	const struct in_addr *v4 = ipv4_of(sockaddr);
	char host[INET6_ADDRSTRLEN] = "?";

	if (v4) {
		/* The port is at the same place in both families. */
		const struct sockaddr_in *in = (const void *)sockaddr;

		inet_ntop(AF_INET, v4, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT, "%s:%u", host, ntohs(in->sin_port));
	} else if (sockaddr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sockaddr;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		snprintf(text, ADDRESS_TEXT, "address family %d", sockaddr->sa_family);
	}
	return text;
}

const unsigned char *address_bytes(const struct sockaddr *sockaddr, int *family)
{
	const struct in_addr *v4 = ipv4_of(sockaddr);

	*family = v4 ? AF_INET : sockaddr->sa_family;
	if (v4)
		return (const unsigned char *)v4;
	if (sockaddr->sa_family != AF_INET6)
		return NULL;
	return ((const struct sockaddr_in6 *)(const void *)sockaddr)->sin6_addr.s6_addr;
}

struct address_host address_host(const struct sockaddr *sockaddr)
{
	struct address_host host = { 0 };
	const unsigned char *bytes = address_bytes(sockaddr, &host.family);

	if (bytes)
		memcpy(host.bytes, bytes,
		       host.family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr));
	return host;
}

int address_host_compare(const struct address_host *a, const struct address_host *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}
