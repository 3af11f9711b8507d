/* SPDX-License-Identifier: BSD-2-Clause */
/* What a reload does with one stream of the new configuration. */
#ifndef DMACAST_CHANGE_H
#define DMACAST_CHANGE_H

#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>

struct stream;
struct streams;

enum change_kind {
	CHANGE_NONE,	/* it continues unchanged */
	CHANGE_ENDED,	/* it has ended by itself, and is unchanged: it stays so */
	CHANGE_ADAPT,	/* it continues with other settings */
	CHANGE_RESTART, /* it ends, and a new stream takes its place */
	CHANGE_OPEN,	/* it is new */
};

/**
 * change_decide() - compare @wanted with the streams that run now.
 * @options: out: the names of the changed options and sections; has OPTION_NAMES_TEXT bytes
 */
enum change_kind change_decide(const struct streams *streams, const struct stream_settings *wanted,
			       char *options);

/** change_needs_ring() - return true if the reload opens a stream with a ring in memory of the daemon. */
bool change_needs_ring(const struct streams *streams, const struct stream_settings *wanted);

/** change_is_listening() - return true if a current stream has this endpoint, opened as @settings say. */
bool change_is_listening(struct streams *streams, const char *text,
			 const struct client_settings *settings);

/**
 * change_needs_name() - return true if the reload opens an endpoint whose host is a name.
 * @text, @settings: the endpoint, and of its section
 * @host: out: the name; has 256 bytes
 */
bool change_needs_name(struct streams *streams, const char *text,
		       const struct client_settings *settings, char *host);

/**
 * change_needs_input_name() - return true if the reload opens an input that listens on a name.
 * @host: out: the name; has 256 bytes
 */
bool change_needs_input_name(const struct streams *streams, const struct stream_settings *wanted,
			     char *host);

#endif
