// SPDX-License-Identifier: BSD-2-Clause
/* Texts of endpoints: which are valid, which are the same, and which exclude each other. */
#include "lib/endpoint.h"

#include "tap.h"

#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void test_endpoint_parse(void)
{
	static const struct {
		const char *text, *socket_name, *port;
		bool right;
	} table[] = {
		{ ":7000", NULL, "7000", true },
		{ "[::1]:1", NULL, "1", true },
		{ "systemd:adc", "adc", NULL, true },
		{ "systemd:dmacastd.socket", "dmacastd.socket", NULL, true },
		{ "systemd:7000", "7000", NULL, true },
		{ "systemd:", NULL, NULL, false },
		{ "systemd:a:b", NULL, NULL, false },
		{ "systemd:a b", NULL, NULL, false },
		{ "systemd:\xc3\xa4", NULL, NULL, false },
		{ "systemd", NULL, NULL, false },
		{ "system:7000", NULL, "7000", true },
		{ "7000", NULL, NULL, false },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct endpoint endpoint;
		const char *expected = NULL;
		bool right = endpoint_parse(table[i].text, &endpoint, &expected);

		if (!check(right == table[i].right, "%s: expected %s", table[i].text, expected))
			continue;
		if (!right)
			check(expected && strstr(expected, "systemd:NAME"), "%s: expected %s",
			      table[i].text, expected);
		else if (table[i].socket_name)
			check(endpoint.socket_name &&
				      !strcmp(endpoint.socket_name, table[i].socket_name),
			      "%s: %s", table[i].text, endpoint.socket_name);
		else
			check(!endpoint.socket_name &&
				      !strcmp(endpoint.address.port, table[i].port),
			      "%s: port %s", table[i].text, endpoint.address.port);
	}
	point("parse HOST:PORT and systemd:NAME, and refuse anything else");
}

static void test_same_endpoint(void)
{
	static const struct {
		const char *a, *b;
		bool same, shares_port;
	} table[] = {
		{ ":7000", ":7000", true, true },
		{ ":7000", "*:07000", true, true },
		{ "localhost:1", "LocalHost:1", true, true },
		{ "127.0.0.1:7000", ":7000", false, true },
		{ "0.0.0.0:7000", "127.0.0.1:7000", false, true },
		{ ":7000", ":7001", false, false },
		{ ":0", ":0", false, false },
		{ "systemd:a", "systemd:a", true, false },
		{ "systemd:a", "systemd:A", false, false },
		{ "systemd:7000", ":7000", false, false },
		{ "no endpoint", "no endpoint", false, false },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		const char *a = table[i].a, *b = table[i].b;

		check(endpoint_is_same(a, b) == table[i].same &&
			      endpoint_is_same(b, a) == table[i].same,
		      "%s and %s: the same is %d", a, b, endpoint_is_same(a, b));
		check(endpoint_shares_port(a, b) == table[i].shares_port &&
			      endpoint_shares_port(b, a) == table[i].shares_port,
		      "%s and %s: a shared port is %d", a, b, endpoint_shares_port(a, b));
	}
	point("compare endpoints, and their ports");
}

static void test_endpoint_conflicts(void)
{
	static const struct {
		const char *a, *b;
		bool conflict;
	} table[] = {
		{ "*:7503", "127.0.0.1:7503", true },
		{ ":7503", "[::1]:7503", true },
		{ ":7503", "localhost:7503", true },
		{ ":7503", "0.0.0.0:7503", true },
		{ "0.0.0.0:7503", "127.0.0.1:7503", true },
		{ "[::]:7503", "[fe80::1]:7503", true },
		{ "a:7503", "A:7503", true },
		{ "systemd:a", "systemd:a", true },
		{ "*:7503", "127.0.0.1:7504", false },
		{ "[::]:7503", "127.0.0.1:7503", false },
		{ "0.0.0.0:7503", "[::1]:7503", false },
		{ "127.0.0.1:7503", "127.0.0.2:7503", false },
		{ "*:0", "127.0.0.1:0", false },
		{ "*:7503", "systemd:a", false },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		const char *a = table[i].a, *b = table[i].b;

		check(endpoint_conflicts(a, b) == table[i].conflict &&
			      endpoint_conflicts(b, a) == table[i].conflict,
		      "%s and %s: a conflict is %d", a, b, endpoint_conflicts(a, b));
	}
	point("endpoints of which one covers the other conflict");
}

int main(void)
{
	test_endpoint_parse();
	test_same_endpoint();
	test_endpoint_conflicts();
	return tap_end();
}
