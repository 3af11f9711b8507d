// SPDX-License-Identifier: BSD-2-Clause
#include "lib/input.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const char *after_prefix(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) ? NULL : text + length;
}

/* Return true if @text begins with a word of letters, digits and '-', and a colon. */
static bool has_prefix(const char *text)
{
	const char *end = text;

	while (isalnum((unsigned char)*end) || *end == '-')
		end++;
	return end != text && *end == ':';
}

/* Parse "PORT" or what address_parse() takes. */
static bool parse_listen_address(const char *text, struct address *address)
{
	char with_colon[sizeof(address->port) + 1];
	const char *ignored;

	if (strchr(text, ':'))
		return address_parse(text, address, &ignored);
	return snprintf(with_colon, sizeof(with_colon), ":%s", text) < (int)sizeof(with_colon) &&
	       address_parse(with_colon, address, &ignored);
}

static bool is_socket_path(const char *path)
{
	return *path && strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path);
}

static bool parse_url(const char *text, struct input *input, const char **expected)
{
	if (!stream_url_parse(text, &input->url, expected))
		return false;
	input->kind = input->url.http ? INPUT_HTTP : INPUT_TCP;
	input->address = input->url.address;
	return true;
}

bool input_parse(const char *text, struct input *input, const char **expected)
{
	const char *argument, *ignored;

	*expected =
		"-, a path, unix:PATH, tcp://HOST:PORT, http://HOST:PORT/PATH, unix-listen:PATH, "
		"tcp-listen:HOST:PORT or exec:COMMAND; a path such as a:b is written ./a:b";
	input->argument = text;
	if (!*text)
		return false;
	if (!strcmp(text, "-")) {
		input->kind = INPUT_STDIN;
		return true;
	}
	if ((argument = after_prefix(text, "unix:"))) {
		input->kind = INPUT_UNIX;
		input->argument = argument;
		*expected = "unix:PATH with a path of 1 to 107 bytes";
		return is_socket_path(argument);
	}
	if ((argument = after_prefix(text, "unix-listen:"))) {
		input->kind = INPUT_UNIX_LISTEN;
		input->argument = argument;
		*expected = "unix-listen:PATH with a path of 1 to 107 bytes";
		return is_socket_path(argument);
	}
	if ((argument = after_prefix(text, "tcp-listen:"))) {
		input->kind = INPUT_TCP_LISTEN;
		input->argument = argument;
		*expected =
			"tcp-listen:PORT, tcp-listen:HOST:PORT or tcp-listen:[IPV6]:PORT, with a "
			"port from 0 to 65535";
		return parse_listen_address(argument, &input->address);
	}
	if (after_prefix(text, "tcp://") || after_prefix(text, "http://"))
		return parse_url(text, input, expected);
	if ((argument = after_prefix(text, "tcp:"))) {
		input->kind = INPUT_TCP;
		input->argument = argument;
		*expected = "tcp:HOST:PORT or tcp:[IPV6]:PORT, with a port from 1 to 65535";
		return address_parse(argument, &input->address, &ignored) &&
		       input->address.host[0] && atoi(input->address.port);
	}
	if ((argument = after_prefix(text, "exec:"))) {
		input->kind = INPUT_EXEC;
		input->argument = argument;
		*expected = "exec:COMMAND with a command for /bin/sh";
		return *argument != '\0';
	}
	/* Whether such a file exists does not matter: "tcpp:host:1" must not wait for one. */
	input->kind = INPUT_PATH;
	return !has_prefix(text);
}
