/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a stream is received from: "tcp://HOST:PORT" or "http://HOST[:PORT]/PATH[?QUERY]". */
#ifndef DMACAST_CAT_URL_H
#define DMACAST_CAT_URL_H

#include "lib/address.h"

#include <stdbool.h>

struct cat_url {
	const char *text; /* as it was given */
	bool http;
	struct address address;
	const char *path;  /* within the text, from '/' on; empty: "/" */
	size_t path_bytes; /* up to the query */
	const char *query; /* behind '?', up to the fragment */
	size_t query_bytes;
};

/**
 * cat_url_parse() - parse the text of a URL.
 * @text: must outlive @url
 * @expected: out: on failure, what would be right
 */
bool cat_url_parse(const char *text, struct cat_url *url, const char **expected);

/** cat_url_has() - return true if the query has the parameter @name. */
bool cat_url_has(const struct cat_url *url, const char *name);

/**
 * cat_url_request() - write the request of a stream.
 * @format: value of the parameter "format" in place of the URL's own; NULL: leave it as it is
 * @start: the same for "start"
 *
 * Return: the request, which the caller frees; NULL without memory.
 */
char *cat_url_request(const struct cat_url *url, const char *format, const char *start);

#endif
