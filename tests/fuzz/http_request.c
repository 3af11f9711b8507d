// SPDX-License-Identifier: BSD-2-Clause
/*
 * A request of an HTTP client, behind two bytes that say where it is divided: what is decided does not depend on
 * that, and what is accepted has the form of a request.
 */
#include "stream/http_request.h"

#include "fuzz.h"

#include <ctype.h>

/* Feed all bytes, in pieces of up to @most bytes. Return: the request, decided or not. */
static struct http_request *feed_request(const uint8_t *bytes, size_t length, size_t most,
					 bool *decided)
{
	struct http_request *request = http_request_create();

	*decided = false;
	check(http_request_is_empty(request), "not empty");
	while (length && !*decided) {
		size_t piece = length < most ? length : most;
		/* A copy of its own, so that ASan sees each byte that is read behind it. */
		uint8_t *copy = malloc(piece);

		memcpy(copy, bytes, piece);
		*decided = http_request_feed(request, copy, piece);
		free(copy);
		bytes += piece;
		length -= piece;
	}
	check(*decided || length == 0, "%zu bytes are left", length);
	return request;
}

static void check_same_wish(const struct http_wish *a, const struct http_wish *b, size_t most)
{
	/* Of two faults in the target, the parser reports the one that comes first in a piece. */
	if ((a->code == HTTP_CODE_URI_TOO_LONG && b->code == HTTP_CODE_BAD_REQUEST) ||
	    (b->code == HTTP_CODE_URI_TOO_LONG && a->code == HTTP_CODE_BAD_REQUEST))
		return;
	check(a->code == b->code, "in pieces of %zu: %s, else %s", most, http_code_text(b->code),
	      http_code_text(a->code));
	check(!strcmp(a->problem, b->problem), "in pieces of %zu: %s, else %s", most, b->problem,
	      a->problem);
	check(a->resource == b->resource && a->head_only == b->head_only && a->framed == b->framed,
	      "in pieces of %zu: another wish", most);
	check(a->has_start == b->has_start && a->start.kind == b->start.kind &&
		      a->start.bytes == b->start.bytes &&
		      a->start.microseconds == b->start.microseconds &&
		      a->start.after.epoch == b->start.after.epoch &&
		      a->start.after.sequence == b->start.after.sequence,
	      "in pieces of %zu: another start", most);
}

/* Return true if @text has @word, whatever the case of its letters. */
static bool has_word(const char *text, const char *word)
{
	return strcasestr(text, word);
}

static void check_accepted(const struct http_wish *wish, const char *text)
{
	text += strspn(text, "\r\n");
	check(!strncmp(text, wish->head_only ? "HEAD " : "GET ", wish->head_only ? 5 : 4), "%s",
	      text);
	check(strstr(text, " HTTP/1."), "no version: %s", text);
	/* The parser takes a carriage return for the end of a line, too. */
	check(strpbrk(strpbrk(text, "\r\n") + 1, "\r\n"), "no end of the head: %s", text);
	check(has_word(text, "HTTP/1.0") || has_word(text, "\nHost:") || has_word(text, "\rHost:"),
	      "no Host: %s", text);
	check(!wish->framed || has_word(text, "format="), "framed: %s", text);
	check(!wish->framed || wish->resource == HTTP_RESOURCE_FEED, "framed: %s", text);
}

static void check_wish(const struct http_wish *wish, const char *text)
{
	bool refused = wish->code != HTTP_CODE_OK && wish->code != HTTP_CODE_NO_CONTENT;

	check(wish->code < HTTP_CODES, "code %d", wish->code);
	check(refused == (*wish->problem != '\0'), "%s: \"%s\"", http_code_text(wish->code),
	      wish->problem);
	for (const char *p = wish->problem; *p; p++)
		check(*p >= ' ' && *p <= '~', "byte %d in a problem", *p);
	if (wish->code == HTTP_CODE_OK)
		check_accepted(wish, text);
	if (wish->code == HTTP_CODE_NO_CONTENT)
		check(has_word(text, "OPTIONS "), "%s", text);
}

/* Decide a request to which no more bytes come. */
static void end_request(struct http_request *request, bool expire)
{
	enum http_code code = expire ? HTTP_CODE_REQUEST_TIMEOUT : HTTP_CODE_BAD_REQUEST;

	if (expire)
		http_request_expire(request);
	else
		http_request_cut(request);
	check(http_request_wish(request)->code == code, "%s",
	      http_code_text(http_request_wish(request)->code));
}

void fuzz_one(struct fuzz_input *input)
{
	size_t most = 1 + fuzz_number(input, 2) % 1500, length = input->left;
	const uint8_t *bytes = input->next;
	bool decided, decided_in_pieces;
	struct http_request *whole, *pieces;
	char *text = fuzz_text(input, false);

	whole = feed_request(bytes, length, SIZE_MAX, &decided);
	pieces = feed_request(bytes, length, most, &decided_in_pieces);
	check(decided == decided_in_pieces, "in pieces of %zu: decided %d", most,
	      decided_in_pieces);
	if (!decided) {
		end_request(whole, most & 1);
		end_request(pieces, most & 1);
	}
	check_same_wish(http_request_wish(whole), http_request_wish(pieces), most);
	check_wish(http_request_wish(whole), text);
	http_request_free(whole);
	http_request_free(pieces);
	free(text);
}
