// SPDX-License-Identifier: BSD-2-Clause
/* Texts of endpoints and addresses, alone and compared with another one. Two lines are two texts. */
#include "lib/endpoint.h"

#include "fuzz.h"
#include "lib/resolver.h"

#include <arpa/inet.h>

/* Longest "[HOST]:PORT" of a struct address, with its NUL. */
#define MAX_TEXT (sizeof(((struct address *)0)->host) + sizeof(((struct address *)0)->port) + 3)

static void write_endpoint(const struct endpoint *endpoint, char text[MAX_TEXT])
{
	const struct address *address = &endpoint->address;
	bool brackets = strchr(address->host, ':');

	if (endpoint->socket_name)
		snprintf(text, MAX_TEXT, "systemd:%s", endpoint->socket_name);
	else
		snprintf(text, MAX_TEXT, "%s%s%s:%s", brackets ? "[" : "", address->host,
			 brackets ? "]" : "", address->port);
}

/* The text of what was parsed is the same endpoint. */
static void check_again(const struct endpoint *endpoint, const char *text)
{
	struct endpoint again;
	char copy[MAX_TEXT];
	const char *expected = NULL;

	write_endpoint(endpoint, copy);
	if (!check(endpoint_parse(copy, &again, &expected), "\"%s\" is \"%s\": expected %s", text,
		   copy, expected))
		return;
	check(!again.socket_name == !endpoint->socket_name, "\"%s\" is another kind", copy);
	if (endpoint->socket_name)
		check(!strcmp(again.socket_name, endpoint->socket_name), "\"%s\"", copy);
	else
		check(!strcmp(again.address.host, endpoint->address.host) &&
			      !strcmp(again.address.port, endpoint->address.port),
		      "\"%s\" is \"%s\"", text, copy);
	check(endpoint_is_same(text, copy) ==
		      (endpoint->socket_name || atoi(endpoint->address.port)),
	      "\"%s\" and \"%s\"", text, copy);
}

/* What the daemon logs about a peer or a local address is an endpoint, of the same host and port. */
static void check_sockaddr(const struct sockaddr *sockaddr)
{
	char text[ADDRESS_TEXT];
	const char *expected = NULL;
	struct address_host host, read_again;
	struct address address;
	struct resolved resolved;
	const struct addrinfo *list;

	address_format(sockaddr, text);
	if (!check(address_parse(text, &address, &expected), "\"%s\": expected %s", text, expected))
		return;
	check(resolver_numeric(address.host, &resolved), "\"%s\" is no address", address.host);
	list = resolved_list(&resolved, address.port);
	if (!check(list && !list->ai_next, "\"%s\" is not one address", address.host))
		return;
	host = address_host(sockaddr);
	read_again = address_host(list->ai_addr);
	check(!address_host_compare(&host, &read_again), "\"%s\" is another host", text);
	/* The port is at the same place in both families. */
	check(((const struct sockaddr_in *)(const void *)sockaddr)->sin_port ==
		      resolved.address[0].in.sin_port,
	      "\"%s\" has another port", text);
}

static void check_host(const struct address *address)
{
	unsigned char binary[sizeof(struct in6_addr)];
	bool numeric = inet_pton(AF_INET, address->host, binary) == 1 ||
		       inet_pton(AF_INET6, address->host, binary) == 1;
	struct resolved resolved;
	const struct addrinfo *list;

	/* More is numeric for getaddrinfo(): 127.1, and names of interfaces behind a '%'. */
	if (!numeric)
		return;
	check(resolver_numeric(address->host, &resolved) && !resolved_error(&resolved),
	      "\"%s\" is not numeric", address->host);
	list = resolved_list(&resolved, address->port);
	if (check(list, "\"%s\" has no address", address->host))
		check_sockaddr(list->ai_addr);
}

static bool check_endpoint(const char *text)
{
	struct endpoint endpoint;
	const char *expected = NULL;

	if (!endpoint_parse(text, &endpoint, &expected)) {
		check(expected && *expected, "\"%s\" is refused without a reason", text);
		return false;
	}
	check_again(&endpoint, text);
	if (!endpoint.socket_name)
		check_host(&endpoint.address);
	return true;
}

static void check_pair(const char *a, const char *b)
{
	bool same = endpoint_is_same(a, b), conflict = endpoint_conflicts(a, b);
	bool shared = endpoint_shares_port(a, b);

	check(same == endpoint_is_same(b, a), "\"%s\" and \"%s\" are the same: %d", a, b, same);
	check(conflict == endpoint_conflicts(b, a), "\"%s\" and \"%s\" conflict: %d", a, b,
	      conflict);
	check(shared == endpoint_shares_port(b, a), "\"%s\" and \"%s\" share: %d", a, b, shared);
	check(!same || conflict, "\"%s\" and \"%s\" are the same, but do not conflict", a, b);
	check(!conflict || shared || same, "\"%s\" and \"%s\" conflict without sharing", a, b);
}

static void check_any_sockaddr(struct fuzz_input input)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };

	in.sin_port = in6.sin6_port = (in_port_t)fuzz_number(&input, 2);
	for (size_t i = 0; i < sizeof(in6.sin6_addr); i++)
		in6.sin6_addr.s6_addr[i] = fuzz_byte(&input);
	memcpy(&in.sin_addr, &in6.sin6_addr, sizeof(in.sin_addr));
	check_sockaddr((const struct sockaddr *)&in);
	check_sockaddr((const struct sockaddr *)&in6);
}

void fuzz_one(struct fuzz_input *input)
{
	char *a, *b;
	bool right;

	check_any_sockaddr(*input);
	a = fuzz_text(input, true);
	b = fuzz_text(input, false);
	right = check_endpoint(a);
	if (check_endpoint(b) && right)
		check_pair(a, b);
	free(a);
	free(b);
}
