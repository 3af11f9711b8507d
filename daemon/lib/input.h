/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of an "input" option, parsed. */
#ifndef DMACAST_INPUT_H
#define DMACAST_INPUT_H

#include "lib/address.h"
#include "lib/stream_url.h"

#include <stdbool.h>

enum input_kind {
	INPUT_STDIN,	   /* "-" */
	INPUT_PATH,	   /* a FIFO, a file or a character device */
	INPUT_UNIX,	   /* "unix:PATH" */
	INPUT_TCP,	   /* "tcp://HOST:PORT" or "tcp:HOST:PORT" */
	INPUT_HTTP,	   /* "http://HOST:PORT/PATH" */
	INPUT_UNIX_LISTEN, /* "unix-listen:PATH" */
	INPUT_TCP_LISTEN,  /* "tcp-listen:[HOST:]PORT" */
	INPUT_EXEC,	   /* "exec:COMMAND" */
};

struct input {
	enum input_kind kind;
	const char *argument;	/* path or command, within the parsed text */
	struct address address; /* for INPUT_TCP, INPUT_HTTP and INPUT_TCP_LISTEN */
	struct stream_url url;	/* for INPUT_HTTP */
};

/**
 * input_parse() - parse the text of an "input" option.
 * @text: must outlive @input
 * @expected: out: on failure, what would be right
 */
bool input_parse(const char *text, struct input *input, const char **expected);

/** input_connects() - return true if dmacastd connects to a producer. */
static inline bool input_connects(enum input_kind kind)
{
	return kind == INPUT_UNIX || kind == INPUT_TCP || kind == INPUT_HTTP;
}

/** input_listens() - return true if producers connect to it. */
static inline bool input_listens(enum input_kind kind)
{
	return kind == INPUT_UNIX_LISTEN || kind == INPUT_TCP_LISTEN;
}

#endif
