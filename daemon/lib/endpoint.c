// SPDX-License-Identifier: BSD-2-Clause
#include "lib/endpoint.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SYSTEMD "systemd:"
/* Longest FileDescriptorName= in bytes, see systemd.socket(5). */
#define MAX_SOCKET_NAME 255

static bool is_socket_name(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < length; i++) {
		if (!isprint((unsigned char)name[i]) || name[i] == ':' || name[i] == ' ')
			return false;
	}
	return length && length <= MAX_SOCKET_NAME;
}

bool endpoint_parse(const char *text, struct endpoint *endpoint, const char **expected)
{
	endpoint->socket_name = NULL;
	if (strncmp(text, SYSTEMD, strlen(SYSTEMD))) {
		if (address_parse(text, &endpoint->address, expected))
			return true;
		if (!strchr(text, ':'))
			*expected = "HOST:PORT, [IPV6]:PORT, *:PORT, :PORT or systemd:NAME";
		return false;
	}
	*expected = "systemd:NAME with the name of a socket, which has no blank and no colon";
	endpoint->socket_name = text + strlen(SYSTEMD);
	return is_socket_name(endpoint->socket_name);
}

/*
 * Parse both. Return: false if they cannot be the same or share a port. This is asked for each pair of
 * endpoints, and most pairs differ in their ports.
 */
static bool parse_both(const char *a, const char *b, struct endpoint *one, struct endpoint *other)
{
	const char *port = strrchr(a, ':'), *other_port = strrchr(b, ':'), *expected;

	if (!port || !other_port || atoi(port + 1) != atoi(other_port + 1))
		return false;
	return endpoint_parse(a, one, &expected) && endpoint_parse(b, other, &expected) &&
	       !one->socket_name == !other->socket_name;
}

bool endpoint_is_same(const char *a, const char *b)
{
	struct endpoint one, other;

	if (!parse_both(a, b, &one, &other))
		return false;
	if (one.socket_name)
		return !strcmp(one.socket_name, other.socket_name);
	return endpoint_shares_port(a, b) && !strcasecmp(one.address.host, other.address.host);
}

bool endpoint_shares_port(const char *a, const char *b)
{
	struct endpoint one, other;

	return parse_both(a, b, &one, &other) && !one.socket_name && atoi(one.address.port) &&
	       atoi(one.address.port) == atoi(other.address.port);
}

/* Return true if @all stands for every address of the family of @host, or of both families. */
static bool covers_host(const char *all, const char *host)
{
	unsigned char binary[sizeof(struct in6_addr)];
	int family = strcmp(all, "::") ? AF_INET : AF_INET6;

	if (!*all)
		return true;
	if (strcmp(all, "0.0.0.0") && strcmp(all, "::"))
		return false;
	return inet_pton(family, host, binary) == 1;
}

bool endpoint_conflicts(const char *a, const char *b)
{
	struct endpoint one, other;

	if (endpoint_is_same(a, b))
		return true;
	return endpoint_shares_port(a, b) && parse_both(a, b, &one, &other) &&
	       (covers_host(one.address.host, other.address.host) ||
		covers_host(other.address.host, one.address.host));
}
