// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_answer.h"

#include <bsd/string.h>
#include <http_parser.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text of a refusal; the rest of it is dropped. */
#define MAX_REFUSAL_BYTES 4096

struct cat_answer {
	http_parser parser;
	cat_answer_sink *sink;
	void *data;
	enum cat_answer_state state;
	bool refusing; /* the final status is not 200 */
	bool stopped;  /* by the sink */
	char refusal[MAX_REFUSAL_BYTES];
	size_t refusal_bytes;
};

static bool cat_answer_is_interim(const http_parser *parser)
{
	return parser->status_code < 200;
}

static int cat_answer_on_headers(http_parser *parser)
{
	struct cat_answer *answer = parser->data;

	if (parser->status_code == HTTP_STATUS_OK)
		answer->state = CAT_ANSWER_STREAM;
	else
		answer->refusing = !cat_answer_is_interim(parser);
	return 0;
}

static void cat_answer_keep_refusal(struct cat_answer *answer, const char *bytes, size_t length)
{
	size_t space = sizeof(answer->refusal) - answer->refusal_bytes;

	if (length > space)
		length = space;
	memcpy(answer->refusal + answer->refusal_bytes, bytes, length);
	answer->refusal_bytes += length;
	if (length == space)
		answer->state = CAT_ANSWER_REFUSED;
}

static int cat_answer_on_body(http_parser *parser, const char *bytes, size_t length)
{
	struct cat_answer *answer = parser->data;

	if (answer->state == CAT_ANSWER_STREAM)
		answer->stopped = !answer->sink(answer->data, (const unsigned char *)bytes, length);
	else
		cat_answer_keep_refusal(answer, bytes, length);
	return answer->stopped;
}

static int cat_answer_on_complete(http_parser *parser)
{
	struct cat_answer *answer = parser->data;

	if (cat_answer_is_interim(parser))
		return 0;
	answer->state = answer->refusing ? CAT_ANSWER_REFUSED : CAT_ANSWER_COMPLETE;
	/* Whatever follows is not for this request. */
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings cat_answer_callbacks = {
	.on_headers_complete = cat_answer_on_headers,
	.on_body = cat_answer_on_body,
	.on_message_complete = cat_answer_on_complete,
};

struct cat_answer *cat_answer_create(cat_answer_sink *sink, void *data)
{
	struct cat_answer *answer = calloc(1, sizeof(*answer));

	if (!answer)
		return NULL;
	http_parser_init(&answer->parser, HTTP_RESPONSE);
	answer->parser.data = answer;
	answer->sink = sink;
	answer->data = data;
	return answer;
}

enum cat_answer_state cat_answer_feed(struct cat_answer *answer, const char *bytes, size_t length)
{
	enum http_errno number = HTTP_PARSER_ERRNO(&answer->parser);

	if (number == HPE_OK) {
		http_parser_execute(&answer->parser, &cat_answer_callbacks, bytes, length);
		number = HTTP_PARSER_ERRNO(&answer->parser);
	}
	if (answer->refusing && !length)
		answer->state = CAT_ANSWER_REFUSED;
	else if (number != HPE_OK && number != HPE_PAUSED && !answer->stopped)
		answer->state = CAT_ANSWER_BAD;
	return answer->state;
}

unsigned int cat_answer_status(const struct cat_answer *answer)
{
	return answer->state == CAT_ANSWER_HEAD ? 0 : answer->parser.status_code;
}

/* Control characters of a server are not for the terminal. */
static void cat_answer_make_printable(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
	}
}

/* Append what the server says in JSON: dmacastd's answers have "error". */
static void cat_answer_add_refusal(const struct cat_answer *answer, char error[CAT_ANSWER_ERROR])
{
	json_t *body = json_loadb(answer->refusal, answer->refusal_bytes, 0, NULL);
	const char *text = json_string_value(json_object_get(body, "error"));

	if (text) {
		strlcat(error, ": ", CAT_ANSWER_ERROR);
		strlcat(error, text, CAT_ANSWER_ERROR);
	}
	json_decref(body);
}

const char *cat_answer_error(const struct cat_answer *answer, char error[CAT_ANSWER_ERROR])
{
	unsigned int status = answer->parser.status_code;

	if (answer->state == CAT_ANSWER_REFUSED) {
		snprintf(error, CAT_ANSWER_ERROR, "the server answers %u %s%s", status,
			 http_status_str(status),
			 status >= 300 && status < 400 ? "; redirects are not followed: give the "
							 "URL of the stream itself"
						       : "");
		cat_answer_add_refusal(answer, error);
	} else {
		snprintf(error, CAT_ANSWER_ERROR, "the server does not answer in HTTP: %s",
			 http_errno_description(HTTP_PARSER_ERRNO(&answer->parser)));
	}
	cat_answer_make_printable(error);
	return error;
}

void cat_answer_free(struct cat_answer *answer)
{
	free(answer);
}
