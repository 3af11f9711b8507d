/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer of an HTTP server to the request of a stream: a parser without input or output. */
#ifndef DMACAST_HTTP_RESPONSE_H
#define DMACAST_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_RESPONSE_ERROR 256

struct http_response;

enum http_response_state {
	HTTP_RESPONSE_HEAD,	/* the header, or the text of a refusal, is not complete */
	HTTP_RESPONSE_STREAM,	/* 200, and the bytes of the stream */
	HTTP_RESPONSE_COMPLETE, /* the stream is complete, by its length or its last chunk */
	HTTP_RESPONSE_REFUSED,	/* another status, and its text is complete or long enough */
	HTTP_RESPONSE_BAD,	/* this is no answer */
};

/* Receive bytes of the stream. Return: false to receive no more. */
typedef bool http_response_sink(void *data, const unsigned char *bytes, size_t length);

/** http_response_create() - return a parser that passes the body of a 200 to @sink; NULL without memory. */
struct http_response *http_response_create(http_response_sink *sink, void *data);

/** http_response_feed() - parse the next bytes; 0: the connection has ended. Return: the state then. */
enum http_response_state http_response_feed(struct http_response *answer, const char *bytes,
					    size_t length);

/** http_response_status() - return the status of the answer, such as 200; 0 before HTTP_RESPONSE_HEAD ends. */
unsigned int http_response_status(const struct http_response *answer);

/**
 * http_response_error() - write why there is no stream: the status with its text and what the server says about it,
 * or what is wrong with the answer. Return: @error.
 */
const char *http_response_error(const struct http_response *answer,
				char error[HTTP_RESPONSE_ERROR]);

/** http_response_is_chunked() - return true if the body of the answer is in chunks. */
bool http_response_is_chunked(const struct http_response *answer);

/** http_response_free() - free the parser; NULL is allowed. */
void http_response_free(struct http_response *answer);

#endif
