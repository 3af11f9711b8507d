/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The request of one HTTP client, from its bytes alone: request line and headers. What follows them belongs to no
 * request: the connection ends with the answer.
 *
 *   READING ─ the head is complete, or wrong ─▶ DECIDED
 *       └──── http_request_cut(), http_request_expire() ──▲
 */
#ifndef DMACAST_HTTP_REQUEST_H
#define DMACAST_HTTP_REQUEST_H

#include "lib/client_start.h"
#include "lib/http_code.h"

#include <stdbool.h>
#include <stddef.h>

/* Upper bounds in bytes: of request line and headers together, and of the target in the request line. */
#define HTTP_REQUEST_MAX (8U << 10)
#define HTTP_TARGET_MAX 1024U

/* Size of a buffer for `problem`. */
#define HTTP_PROBLEM_TEXT 240

enum http_resource { HTTP_RESOURCE_FEED, HTTP_RESOURCE_INFO };

/* What a request asks for, or why it is refused. */
struct http_wish {
	/* HTTP_CODE_OK: `resource`; HTTP_CODE_NO_CONTENT: the methods that are allowed; others: an error */
	enum http_code code;
	enum http_resource resource;
	bool head_only; /* HEAD: the answer has no body */
	/* Of the feed: */
	bool framed;
	bool has_start; /* else as the section says */
	struct client_start start;
	char problem[HTTP_PROBLEM_TEXT];
};

struct http_request;
struct state;

/** http_request_create() - begin to read a request. Return: NULL without memory. */
struct http_request *http_request_create(void);

/**
 * http_request_feed() - read @length bytes, at least one, that follow those before.
 *
 * Return: true if the request is DECIDED now. What follows its head in @bytes is ignored.
 */
bool http_request_feed(struct http_request *request, const void *bytes, size_t length);

/** http_request_is_empty() - return true if no byte has come. */
bool http_request_is_empty(const struct http_request *request);

/** http_request_cut() - decide a request that ended too early. */
void http_request_cut(struct http_request *request);

/** http_request_expire() - decide a request that takes too long. */
void http_request_expire(struct http_request *request);

/** http_request_wish() - return the wish of a request that is DECIDED; valid as long as @request is. */
const struct http_wish *http_request_wish(const struct http_request *request);

/**
 * http_request_transfer() - save a request that is not DECIDED, or restore it.
 * @request: restoring: as http_request_create() made it; it may be DECIDED afterwards
 */
void http_request_transfer(struct http_request *request, struct state *state);

/** http_request_free() - NULL is allowed. */
void http_request_free(struct http_request *request);

#endif
