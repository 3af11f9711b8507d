// SPDX-License-Identifier: BSD-2-Clause
#include "lib/http_response.h"

#include <bsd/string.h>
#include <http_parser.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text of a refusal; the rest of it is dropped. */
#define MAX_REFUSAL_BYTES 4096

struct http_response {
	http_parser parser;
	http_response_sink *sink;
	void *data;
	enum http_response_state state;
	bool refusing; /* the final status is not 200 */
	bool stopped;  /* by the sink */
	char refusal[MAX_REFUSAL_BYTES];
	size_t refusal_bytes;
};

static bool http_response_is_interim(const http_parser *parser)
{
	return parser->status_code < 200;
}

static int http_response_on_headers(http_parser *parser)
{
	struct http_response *answer = parser->data;

	if (parser->status_code == HTTP_STATUS_OK)
		answer->state = HTTP_RESPONSE_STREAM;
	else
		answer->refusing = !http_response_is_interim(parser);
	return 0;
}

static void http_response_keep_refusal(struct http_response *answer, const char *bytes,
				       size_t length)
{
	size_t space = sizeof(answer->refusal) - answer->refusal_bytes;

	if (length > space)
		length = space;
	memcpy(answer->refusal + answer->refusal_bytes, bytes, length);
	answer->refusal_bytes += length;
	if (length == space)
		answer->state = HTTP_RESPONSE_REFUSED;
}

static int http_response_on_body(http_parser *parser, const char *bytes, size_t length)
{
	struct http_response *answer = parser->data;

	if (answer->state == HTTP_RESPONSE_STREAM)
		answer->stopped = !answer->sink(answer->data, (const unsigned char *)bytes, length);
	else
		http_response_keep_refusal(answer, bytes, length);
	return answer->stopped;
}

static int http_response_on_complete(http_parser *parser)
{
	struct http_response *answer = parser->data;

	if (http_response_is_interim(parser))
		return 0;
	answer->state = answer->refusing ? HTTP_RESPONSE_REFUSED : HTTP_RESPONSE_COMPLETE;
	/* Whatever follows is not for this request. */
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings http_response_callbacks = {
	.on_headers_complete = http_response_on_headers,
	.on_body = http_response_on_body,
	.on_message_complete = http_response_on_complete,
};

struct http_response *http_response_create(http_response_sink *sink, void *data)
{
	struct http_response *answer = calloc(1, sizeof(*answer));

	if (!answer)
		return NULL;
	http_parser_init(&answer->parser, HTTP_RESPONSE);
	answer->parser.data = answer;
	answer->sink = sink;
	answer->data = data;
	return answer;
}

enum http_response_state http_response_feed(struct http_response *answer, const char *bytes,
					    size_t length)
{
	enum http_errno number = HTTP_PARSER_ERRNO(&answer->parser);

	if (number == HPE_OK) {
		http_parser_execute(&answer->parser, &http_response_callbacks, bytes, length);
		number = HTTP_PARSER_ERRNO(&answer->parser);
	}
	if (answer->refusing && !length)
		answer->state = HTTP_RESPONSE_REFUSED;
	else if (number != HPE_OK && number != HPE_PAUSED && !answer->stopped)
		answer->state = HTTP_RESPONSE_BAD;
	return answer->state;
}

unsigned int http_response_status(const struct http_response *answer)
{
	return answer->state == HTTP_RESPONSE_HEAD ? 0 : answer->parser.status_code;
}

bool http_response_is_chunked(const struct http_response *answer)
{
	return answer->parser.flags & F_CHUNKED;
}

/* Control characters of a server are not for the terminal. */
static void http_response_make_printable(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
	}
}

/* Append what the server says in JSON: dmacastd's answers have "error". */
static void http_response_add_refusal(const struct http_response *answer,
				      char error[HTTP_RESPONSE_ERROR])
{
	json_t *body = json_loadb(answer->refusal, answer->refusal_bytes, 0, NULL);
	const char *text = json_string_value(json_object_get(body, "error"));

	if (text) {
		strlcat(error, ": ", HTTP_RESPONSE_ERROR);
		strlcat(error, text, HTTP_RESPONSE_ERROR);
	}
	json_decref(body);
}

const char *http_response_error(const struct http_response *answer, char error[HTTP_RESPONSE_ERROR])
{
	unsigned int status = answer->parser.status_code;

	if (answer->state == HTTP_RESPONSE_REFUSED) {
		snprintf(error, HTTP_RESPONSE_ERROR, "the server answers %u %s%s", status,
			 http_status_str(status),
			 status >= 300 && status < 400 ? "; redirects are not followed: give the "
							 "URL of the stream itself"
						       : "");
		http_response_add_refusal(answer, error);
	} else {
		snprintf(error, HTTP_RESPONSE_ERROR, "the server does not answer in HTTP: %s",
			 http_errno_description(HTTP_PARSER_ERRNO(&answer->parser)));
	}
	http_response_make_printable(error);
	return error;
}

void http_response_free(struct http_response *answer)
{
	free(answer);
}
