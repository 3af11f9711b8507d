// SPDX-License-Identifier: BSD-2-Clause
/* Answers of HTTP servers, in one piece and byte for byte. */
#include "lib/http_response.h"

#include "tap.h"

#include <string.h>

struct sink {
	char bytes[4096];
	size_t length, limit; /* limit: where it stops; 0: never */
};

static bool sink_take(void *data, const unsigned char *bytes, size_t length)
{
	struct sink *sink = data;

	memcpy(sink->bytes + sink->length, bytes, length);
	sink->length += length;
	return !sink->limit || sink->length < sink->limit;
}

/* Feed @text in pieces of @piece bytes, and the end of the connection. */
static enum http_response_state feed_answer(struct http_response *answer, const char *text,
					    size_t length, size_t piece, bool end)
{
	enum http_response_state state = HTTP_RESPONSE_HEAD;

	for (size_t at = 0; at < length; at += piece)
		state = http_response_feed(answer, text + at,
					   length - at < piece ? length - at : piece);
	return end ? http_response_feed(answer, NULL, 0) : state;
}

#define OK "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"

static const struct example {
	const char *title, *text, *body;
	enum http_response_state state;	    /* without the end of the connection */
	enum http_response_state end_state; /* with it */
} examples[] = {
	{ "up to the end of the connection", OK "\r\nabc", "abc", HTTP_RESPONSE_STREAM,
	  HTTP_RESPONSE_COMPLETE },
	{ "HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nabc", "abc", HTTP_RESPONSE_STREAM,
	  HTTP_RESPONSE_COMPLETE },
	{ "by length", OK "Content-Length: 3\r\n\r\nabc", "abc", HTTP_RESPONSE_COMPLETE,
	  HTTP_RESPONSE_COMPLETE },
	{ "by length, cut", OK "Content-Length: 4\r\n\r\nabc", "abc", HTTP_RESPONSE_STREAM,
	  HTTP_RESPONSE_BAD },
	{ "in chunks", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
	  "abc", HTTP_RESPONSE_COMPLETE, HTTP_RESPONSE_COMPLETE },
	{ "in chunks, cut", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n", "abc",
	  HTTP_RESPONSE_STREAM, HTTP_RESPONSE_BAD },
	{ "with 100 first", "HTTP/1.1 100 Continue\r\n\r\n" OK "\r\nabc", "abc",
	  HTTP_RESPONSE_STREAM, HTTP_RESPONSE_COMPLETE },
	{ "not found", "HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\n{\"error\":\"no\"}", "",
	  HTTP_RESPONSE_REFUSED, HTTP_RESPONSE_REFUSED },
	{ "not found, cut", "HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n{\"err", "",
	  HTTP_RESPONSE_HEAD, HTTP_RESPONSE_REFUSED },
	{ "no HTTP", "DMCF\1\100xxxxxxxxxxx", "", HTTP_RESPONSE_BAD, HTTP_RESPONSE_BAD },
	{ "a header without end", OK "X: ", "", HTTP_RESPONSE_HEAD, HTTP_RESPONSE_BAD },
	{ "nothing", "", "", HTTP_RESPONSE_HEAD, HTTP_RESPONSE_HEAD },
	{ "two answers", OK "Content-Length: 3\r\n\r\nabc" OK "Content-Length: 1\r\n\r\nx", "abc",
	  HTTP_RESPONSE_COMPLETE, HTTP_RESPONSE_COMPLETE },
};

static void test_answer(const struct example *example, size_t piece, bool end)
{
	enum http_response_state expected = end ? example->end_state : example->state, state;
	struct sink sink = { 0 };
	struct http_response *answer = http_response_create(sink_take, &sink);

	state = feed_answer(answer, example->text, strlen(example->text), piece, end);
	check(state == expected, "pieces of %zu, end %d: state %d, expected %d", piece, end,
	      (int)state, (int)expected);
	check(sink.length == strlen(example->body) &&
		      !memcmp(sink.bytes, example->body, sink.length),
	      "pieces of %zu: body '%.*s'", piece, (int)sink.length, sink.bytes);
	http_response_free(answer);
}

static void test_answers(void)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		for (size_t piece = 1; piece < 200; piece += piece < 8 ? 1 : 95) {
			test_answer(&examples[i], piece, false);
			test_answer(&examples[i], piece, true);
		}
		point("an answer: %s", examples[i].title);
	}
}

static void test_texts(void)
{
	static const struct {
		const char *text, *error;
		unsigned int status;
	} texts[] = {
		{ "HTTP/1.1 404 Not Found\r\nContent-Length: 16\r\n\r\n{\"error\":\"none\"}",
		  "404 Not Found: none", 404 },
		{ "HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
		  "301 Moved Permanently; redirects are not followed", 301 },
		{ "HTTP/1.1 410 Gone\r\nContent-Length: 20\r\n\r\n{\"error\":\"a\\u001b\\nb\"}",
		  "410 Gone", 410 },
		{ "HTTP/1.1 503 x\r\nContent-Length: 4\r\n\r\nbusy", "503 Service Unavailable",
		  503 },
		{ "garbage\r\n\r\n", "does not answer in HTTP", 0 },
	};
	char error[HTTP_RESPONSE_ERROR];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct sink sink = { 0 };
		struct http_response *answer = http_response_create(sink_take, &sink);

		feed_answer(answer, texts[i].text, strlen(texts[i].text), 1000, true);
		check(strstr(http_response_error(answer, error), texts[i].error), "got '%s'",
		      error);
		check(!strpbrk(error, "\033\n"), "a control character in '%s'", error);
		check(!texts[i].status || http_response_status(answer) == texts[i].status,
		      "status %u", http_response_status(answer));
		http_response_free(answer);
	}
	point("a refusal says the status, and what the server says");
}

/* A refusal without an end, and a header without an end. */
static void test_endless(void)
{
	static const char begin[] = "HTTP/1.1 500 x\r\n\r\n", head[] = OK "X: ";
	struct sink sink = { 0 };
	struct http_response *answer = http_response_create(sink_take, &sink);
	char piece[1000];
	int pieces = 0;

	memset(piece, 'x', sizeof(piece));
	http_response_feed(answer, begin, sizeof(begin) - 1);
	while (http_response_feed(answer, piece, sizeof(piece)) == HTTP_RESPONSE_HEAD &&
	       pieces < 1000)
		pieces++;
	check(pieces < 10, "a refusal of %d pieces", pieces);
	http_response_free(answer);
	answer = http_response_create(sink_take, &sink);
	http_response_feed(answer, head, sizeof(head) - 1);
	for (pieces = 0; http_response_feed(answer, piece, sizeof(piece)) == HTTP_RESPONSE_HEAD;
	     pieces++)
		if (pieces == 1000)
			break;
	check(pieces < 200, "a header of %d pieces", pieces);
	check(!sink.length, "a body");
	http_response_free(answer);
	point("texts and headers are limited");
}

static void test_stop(void)
{
	static const char text[] = OK "\r\nabc";
	struct sink sink = { .limit = 3 };
	struct http_response *answer = http_response_create(sink_take, &sink);

	check(http_response_feed(answer, text, sizeof(text) - 1) == HTTP_RESPONSE_STREAM,
	      "the state");
	http_response_feed(answer, "def", 3);
	check(sink.length == 3, "%zu bytes after the end", sink.length);
	http_response_free(answer);
	point("a sink that has enough gets no more");
}

int main(void)
{
	test_answers();
	test_texts();
	test_endless();
	test_stop();
	return tap_end();
}
