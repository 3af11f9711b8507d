// SPDX-License-Identifier: BSD-2-Clause
#include "lib/input.h"

#include <ctype.h>
#include <stddef.h>
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

bool input_parse(const char *text, struct input *input, const char **expected)
{
	const char *argument, *ignored;

	*expected = "-, a path, unix:PATH, tcp:HOST:PORT or exec:COMMAND; a path such as a:b is "
		    "written ./a:b";
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
		return *argument && strlen(argument) < sizeof(((struct sockaddr_un *)0)->sun_path);
	}
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
