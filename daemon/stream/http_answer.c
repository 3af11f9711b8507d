// SPDX-License-Identifier: BSD-2-Clause
#include "stream/http_answer.h"

#include <assert.h>
#include <event2/util.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longest date, and longest head, with their ends. */
#define DATE_TEXT 64
#define HEAD_TEXT 1024

#define ALLOWED_METHODS "GET, HEAD, OPTIONS"

/* @fields: those of this answer, each with its end */
static void answer_format_head(char text[HEAD_TEXT], enum http_code code, const char *fields)
{
	char date[DATE_TEXT];
	int length;

	evutil_date_rfc1123(date, sizeof(date), NULL);
	length = snprintf(text, HEAD_TEXT,
			  "HTTP/1.1 %s\r\nDate: %s\r\n%sCache-Control: no-store\r\n"
			  "X-Content-Type-Options: nosniff\r\nAccess-Control-Allow-Origin: *\r\n"
			  "Connection: close\r\n\r\n",
			  http_code_text(code), date, fields);
	assert(length < HEAD_TEXT);
	(void)length;
}

/* @fields: besides those of the body */
static struct shared_bytes *answer_with_json(enum http_code code, const char *fields,
					     const void *body, size_t length, bool head_only)
{
	char all_fields[HEAD_TEXT / 2], head[HEAD_TEXT];
	struct shared_bytes *answer;
	size_t head_length;
	char *text;

	snprintf(all_fields, sizeof(all_fields),
		 "%sContent-Type: application/json\r\nContent-Length: %zu\r\n", fields, length);
	answer_format_head(head, code, all_fields);
	head_length = strlen(head);
	if (head_only)
		length = 0;
	text = malloc(head_length + length);
	if (!text)
		return NULL;
	memcpy(text, head, head_length);
	memcpy(text + head_length, body, length);
	answer = shared_bytes_create(text, head_length + length);
	free(text);
	return answer;
}

struct shared_bytes *http_answer_feed(const struct block_name *first)
{
	char fields[HEAD_TEXT / 2], head[HEAD_TEXT];

	snprintf(fields, sizeof(fields),
		 "Content-Type: application/octet-stream\r\nDmacast-Epoch: %08" PRIx32 "\r\n"
		 "Dmacast-Sequence: %" PRIu64 "\r\n"
		 "Access-Control-Expose-Headers: Dmacast-Epoch, Dmacast-Sequence\r\n",
		 first->epoch, first->sequence);
	answer_format_head(head, HTTP_CODE_OK, fields);
	return shared_bytes_create(head, strlen(head));
}

struct shared_bytes *http_answer_info(const struct shared_bytes *metadata, bool head_only)
{
	return answer_with_json(HTTP_CODE_OK, "", metadata->bytes, metadata->length, head_only);
}

struct shared_bytes *http_answer_methods(void)
{
	char head[HEAD_TEXT];

	answer_format_head(head, HTTP_CODE_NO_CONTENT,
			   "Allow: " ALLOWED_METHODS "\r\n"
			   "Access-Control-Allow-Methods: " ALLOWED_METHODS "\r\n"
			   "Access-Control-Allow-Headers: *\r\n"
			   "Access-Control-Max-Age: 600\r\n");
	return shared_bytes_create(head, strlen(head));
}

/* Return the fields of an error; 405 must have the methods. */
static const char *answer_error_fields(enum http_code code)
{
	return code == HTTP_CODE_METHOD_NOT_ALLOWED ? "Allow: " ALLOWED_METHODS "\r\n" : "";
}

struct shared_bytes *http_answer_error(const struct http_wish *wish,
				       const struct block_name *oldest)
{
	char name[CLIENT_START_TEXT];
	json_t *body = json_pack("{s:s, s:s*}", "error", wish->problem, "oldest",
				 oldest ? block_name_format(oldest, name) : NULL);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL, *line = NULL;
	struct shared_bytes *answer = NULL;
	int length;

	/* Terminals show it. */
	if (text && (length = asprintf(&line, "%s\n", text)) >= 0)
		answer = answer_with_json(wish->code, answer_error_fields(wish->code), line,
					  (size_t)length, wish->head_only);
	free(line);
	free(text);
	json_decref(body);
	return answer;
}
