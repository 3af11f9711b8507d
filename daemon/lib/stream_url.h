/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a stream is received from: "tcp://HOST:PORT" or "http://HOST[:PORT]/PATH[?QUERY]". */
#ifndef DMACAST_STREAM_URL_H
#define DMACAST_STREAM_URL_H

#include "lib/address.h"

#include <stdbool.h>

struct stream_url {
	const char *text; /* as it was given */
	bool http;
	struct address address;
	const char *path;  /* within the text, from '/' on; empty: "/" */
	size_t path_bytes; /* up to the query */
	const char *query; /* behind '?', up to the fragment */
	size_t query_bytes;
};

/**
 * stream_url_parse() - parse the text of a URL.
 * @text: must outlive @url
 * @expected: out: on failure, what would be right
 */
bool stream_url_parse(const char *text, struct stream_url *url, const char **expected);

/** stream_url_has() - return true if the query has the parameter @name. */
bool stream_url_has(const struct stream_url *url, const char *name);

/* What to ask for. */
struct stream_request {
	const char *program; /* that asks */
	const char *
		format; /* value of the parameter "format" in place of the URL's own; NULL: as it is */
	const char *start; /* the same for "start" */
	bool no_chunks;	   /* by HTTP/1.0, so that the answer is the stream as it is */
};

/** stream_url_request() - write the request of a stream, which the caller frees. Return: NULL without memory. */
char *stream_url_request(const struct stream_url *url, const struct stream_request *wanted);

#endif
