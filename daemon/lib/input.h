/* SPDX-License-Identifier: BSD-2-Clause */
/* What the text of an "input" option means. */
#ifndef DMACAST_INPUT_H
#define DMACAST_INPUT_H

#include "lib/address.h"

#include <stdbool.h>

enum input_kind {
	INPUT_STDIN, /* "-" */
	INPUT_PATH,  /* a FIFO, a file or a character device */
	INPUT_UNIX,  /* "unix:PATH" */
	INPUT_TCP,   /* "tcp:HOST:PORT" */
	INPUT_EXEC,  /* "exec:COMMAND" */
};

struct input {
	enum input_kind kind;
	const char *argument;	/* path or command, inside the text that was parsed */
	struct address address; /* of INPUT_TCP */
};

/**
 * input_parse() - read an "input" text.
 * @text: must outlive @input
 * @expected: out: when false is returned, what would be right
 */
bool input_parse(const char *text, struct input *input, const char **expected);

#endif
