// SPDX-License-Identifier: BSD-2-Clause
/* Addresses, and the texts of inputs, some of which contain one. */
#include "lib/address.h"
#include "lib/input.h"

#include "tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* 255 and 256 letters; the path of a Unix socket has up to 107. */
#define LETTERS_15 "abcdefghijklmno"
#define LETTERS_51 LETTERS_15 LETTERS_15 LETTERS_15 "pqrstu"
#define LETTERS_255 LETTERS_51 LETTERS_51 LETTERS_51 LETTERS_51 LETTERS_51
#define LETTERS_107 LETTERS_51 LETTERS_51 "vwxyz"

static const struct {
	const char *text, *host, *port;
} right_addresses[] = {
	{ "127.0.0.1:80", "127.0.0.1", "80" },
	{ "localhost:7000", "localhost", "7000" },
	{ "example.org:0", "example.org", "0" },
	{ "[::1]:80", "::1", "80" },
	{ "[::]:80", "::", "80" },
	{ "[fe80::1%eth0]:80", "fe80::1%eth0", "80" },
	{ "[::ffff:1.2.3.4]:65535", "::ffff:1.2.3.4", "65535" },
	{ "*:80", "", "80" },
	{ ":80", "", "80" },
	{ "*.example.org:80", "*.example.org", "80" },
	{ LETTERS_255 ":1", LETTERS_255, "1" },
};

static const struct {
	const char *text, *expected; /* a part of what the error says is expected */
} wrong_addresses[] = {
	{ "", "HOST:PORT" },
	{ "80", "HOST:PORT" },
	{ "localhost", "HOST:PORT" },
	{ "[::1]", "[IPV6]:PORT" },
	{ "[::1]80", "[IPV6]:PORT" },
	{ "[::1:80", "[IPV6]:PORT" },
	{ "[]:80", "[IPV6]:PORT" },
	{ "::1:80", "brackets" },
	{ "fe80::1", "brackets" },
	{ "::", "brackets" },
	{ "a:b:80", "brackets" },
	{ "localhost:", "port from 0 to 65535" },
	{ ":", "port from 0 to 65535" },
	{ "localhost:http", "port from 0 to 65535" },
	{ "localhost:65536", "port from 0 to 65535" },
	{ "localhost:18446744073709551696", "port from 0 to 65535" },
	{ "localhost:-1", "port from 0 to 65535" },
	{ "localhost:+1", "port from 0 to 65535" },
	{ "localhost: 80", "port from 0 to 65535" },
	{ "localhost:80 ", "port from 0 to 65535" },
	{ "localhost:0x50", "port from 0 to 65535" },
	{ "localhost:00000000000000000000000000000080", "port from 0 to 65535" },
	{ "local host:80", "HOST:PORT" },
	{ " localhost:80", "HOST:PORT" },
	{ "x" LETTERS_255 ":1", "HOST:PORT" },
};

static void test_address_parse(void)
{
	struct address address;
	const char *expected;

	for (size_t i = 0; i < LENGTH(right_addresses); i++) {
		const char *text = right_addresses[i].text;

		if (!check(address_parse(text, &address, &expected), "\"%s\" refused", text))
			continue;
		check(!strcmp(address.host, right_addresses[i].host), "\"%s\": host \"%s\"", text,
		      address.host);
		check(!strcmp(address.port, right_addresses[i].port), "\"%s\": port \"%s\"", text,
		      address.port);
	}
	point("parse an address");
	for (size_t i = 0; i < LENGTH(wrong_addresses); i++) {
		const char *text = wrong_addresses[i].text;

		expected = NULL;
		if (check(!address_parse(text, &address, &expected), "\"%s\" accepted", text))
			check(expected && strstr(expected, wrong_addresses[i].expected),
			      "\"%s\": expected %s", text, expected);
	}
	point("refuse invalid addresses, and say what is expected");
}

static const struct {
	const char *text;
	enum input_kind kind;
	const char *argument, *host, *port;
} right_inputs[] = {
	{ "-", INPUT_STDIN, "-", NULL, NULL },
	{ "/run/feed", INPUT_PATH, "/run/feed", NULL, NULL },
	{ "feed.bin", INPUT_PATH, "feed.bin", NULL, NULL },
	{ "--", INPUT_PATH, "--", NULL, NULL },
	{ "./unix:a", INPUT_PATH, "./unix:a", NULL, NULL },
	{ "unix:/run/feed.sock", INPUT_UNIX, "/run/feed.sock", NULL, NULL },
	{ "unix:" LETTERS_107, INPUT_UNIX, LETTERS_107, NULL, NULL },
	{ "tcp:localhost:7000", INPUT_TCP, "localhost:7000", "localhost", "7000" },
	{ "tcp:[::1]:7000", INPUT_TCP, "[::1]:7000", "::1", "7000" },
	{ "exec:cat /dev/zero", INPUT_EXEC, "cat /dev/zero", NULL, NULL },
	{ "exec: :", INPUT_EXEC, " :", NULL, NULL },
};

static const struct {
	const char *text, *expected;
} wrong_inputs[] = {
	{ "", "unix:PATH" },
	{ "unix:", "1 to 107 bytes" },
	{ "unix:x" LETTERS_107, "1 to 107 bytes" },
	{ "tcp:", "HOST:PORT" },
	{ "tcp:localhost", "HOST:PORT" },
	{ "tcp:localhost:x", "port" },
	{ "tcp::80", "tcp:HOST:PORT" },
	{ "tcp:*:80", "tcp:HOST:PORT" },
	{ "tcp:::1:80", "tcp:[IPV6]:PORT" },
	{ "exec:", "command" },
};

static void test_input_parse(void)
{
	struct input input;
	const char *expected;

	for (size_t i = 0; i < LENGTH(right_inputs); i++) {
		const char *text = right_inputs[i].text;

		if (!check(input_parse(text, &input, &expected), "\"%s\" refused", text))
			continue;
		check(input.kind == right_inputs[i].kind, "\"%s\": kind %d", text, input.kind);
		check(!strcmp(input.argument, right_inputs[i].argument), "\"%s\": argument \"%s\"",
		      text, input.argument);
		if (right_inputs[i].host)
			check(!strcmp(input.address.host, right_inputs[i].host) &&
				      !strcmp(input.address.port, right_inputs[i].port),
			      "\"%s\": %s, %s", text, input.address.host, input.address.port);
	}
	point("parse an input");
	for (size_t i = 0; i < LENGTH(wrong_inputs); i++) {
		const char *text = wrong_inputs[i].text;

		expected = NULL;
		if (check(!input_parse(text, &input, &expected), "\"%s\" accepted", text))
			check(expected && strstr(expected, wrong_inputs[i].expected),
			      "\"%s\": expected %s", text, expected);
	}
	point("refuse invalid inputs, and say what is expected");
}

union any_address {
	struct sockaddr sockaddr;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static union any_address make_address(const char *host, uint16_t port)
{
	union any_address address = { 0 };

	if (inet_pton(AF_INET, host, &address.in.sin_addr) == 1) {
		address.in.sin_family = AF_INET;
		address.in.sin_port = htons(port);
	} else if (inet_pton(AF_INET6, host, &address.in6.sin6_addr) == 1) {
		address.in6.sin6_family = AF_INET6;
		address.in6.sin6_port = htons(port);
	} else {
		address.un.sun_family = AF_UNIX;
	}
	return address;
}

static void test_address_format(void)
{
	static const struct {
		const char *host;
		uint16_t port;
		const char *text;
	} table[] = {
		{ "1.2.3.4", 80, "1.2.3.4:80" },
		{ "255.255.255.255", 65535, "255.255.255.255:65535" },
		{ "::1", 80, "[::1]:80" },
		{ "::", 0, "[::]:0" },
		{ "::ffff:1.2.3.4", 80, "1.2.3.4:80" },
		{ "1111:2222:3333:4444:5555:6666:7777:8888", 65535,
		  "[1111:2222:3333:4444:5555:6666:7777:8888]:65535" },
		{ "neither", 0, "address family 1" },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		union any_address address = make_address(table[i].host, table[i].port);
		char text[ADDRESS_TEXT];

		check(address_format(&address.sockaddr, text) == text, "another pointer");
		check(!strcmp(text, table[i].text), "\"%s\", expected \"%s\"", text, table[i].text);
	}
	point("write an address");
}

static void test_same_host(void)
{
	static const struct {
		const char *a, *b;
		bool same;
	} table[] = {
		{ "1.2.3.4", "1.2.3.4", true },
		{ "1.2.3.4", "1.2.3.5", false },
		{ "1.2.3.4", "::ffff:1.2.3.4", true },
		{ "1.2.3.4", "::ffff:1.2.3.5", false },
		{ "::ffff:1.2.3.4", "::ffff:1.2.3.4", true },
		{ "1.2.3.4", "::1.2.3.4", false },
		{ "0.0.0.0", "::", false },
		{ "::1", "::1", true },
		{ "::1", "::2", false },
		{ "fe80::1", "fe80:0:0:1::1", false },
		{ "1.2.3.4", "neither", false },
		{ "::1", "neither", false },
		{ "neither", "neither", true },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		union any_address a = make_address(table[i].a, 1), b = make_address(table[i].b, 2);

		struct address_host host_a = address_host(&a.sockaddr);
		struct address_host host_b = address_host(&b.sockaddr);
		int order = address_host_compare(&host_a, &host_b);
		int reverse = address_host_compare(&host_b, &host_a);

		check((order == 0) == table[i].same, "%s and %s", table[i].a, table[i].b);
		check((order < 0) == (reverse > 0) && (order > 0) == (reverse < 0),
		      "%s and %s: %d and %d", table[i].a, table[i].b, order, reverse);
	}
	point("compare hosts, whatever the port and the family");
}

int main(void)
{
	test_address_parse();
	test_input_parse();
	test_address_format();
	test_same_host();
	return tap_end();
}
