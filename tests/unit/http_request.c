// SPDX-License-Identifier: BSD-2-Clause
/*
 * Requests of HTTP clients, whole and in pieces: what they ask for, and how those are refused that are wrong, too
 * long or too late. Answers, as the texts that are sent.
 */
#include "stream/http_answer.h"
#include "stream/http_request.h"

#include "dice.h"
#include "statepass.h"
#include "tap.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define HOST "Host: a\r\n"

static const struct valid_case {
	const char *text;
	enum { FRAMED = 1, INFO = 2, HEAD = 4 } wish;
} valid[] = {
	{ "GET / HTTP/1.1\r\n" HOST "\r\n", 0 },
	{ "GET / HTTP/1.0\r\n\r\n", 0 },
	{ "GET / HTTP/1.9\r\n" HOST "\r\n", 0 },
	{ "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0 },
	{ "GET / HTTP/1.1\n" HOST "\n", 0 },
	{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0 },
	{ "GET / HTTP/1.1\r\nhOST:   example.org:8080  \r\nUser-Agent: x\r\nAccept: */*\r\n\r\n",
	  0 },
	{ "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0 },
	{ "GET / HTTP/1.1\r\nHosts: b\r\n" HOST "X-Host: c\r\n\r\n", 0 },
	{ "GET /? HTTP/1.1\r\n" HOST "\r\n", 0 },
	{ "GET /?format=raw HTTP/1.1\r\n" HOST "\r\n", 0 },
	{ "GET /?format=%72aw HTTP/1.1\r\n" HOST "\r\n", 0 },
	{ "GET /?format=framed HTTP/1.1\r\n" HOST "\r\n", FRAMED },
	{ "GET /?format=framed& HTTP/1.1\r\n" HOST "\r\n", FRAMED },
	{ "GET http://example.org/?format=framed HTTP/1.1\r\n" HOST "\r\n", FRAMED },
	{ "GET http://example.org HTTP/1.1\r\n" HOST "\r\n", 0 },
	{ "HEAD / HTTP/1.1\r\n" HOST "\r\n", HEAD },
	{ "GET /info HTTP/1.1\r\n" HOST "\r\n", INFO },
	{ "GET /%69nfo HTTP/1.1\r\n" HOST "\r\n", INFO },
	{ "GET /info? HTTP/1.1\r\n" HOST "\r\n", INFO },
	{ "HEAD /info HTTP/1.0\r\n\r\n", INFO | HEAD },
	{ "GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n", 0 },
	{ "GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n", 0 },
	{ "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 0 },
	{ "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade, keep-alive\r\nUpgrade: h2c\r\n\r\n", 0 },
};

static const struct wrong_case {
	const char *text;
	enum http_code code;
	const char *problem; /* a part of it */
} wrong[] = {
	{ "\x16\x03\x01\x02", HTTP_CODE_BAD_REQUEST, "not a request" },
	{ "get / HTTP/1.1\r\n", HTTP_CODE_BAD_REQUEST, "not a request" },
	{ "GET / HTTX/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST, "invalid HTTP version" },
	{ "GET / H\r\n\r1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST, "invalid HTTP version" },
	{ "FEED / HTTP/1.1\r\n", HTTP_CODE_NOT_IMPLEMENTED, "unknown method" },
	{ "GETS / HTTP/1.1\r\n", HTTP_CODE_NOT_IMPLEMENTED, "unknown method" },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP_CODE_NOT_IMPLEMENTED, "unknown method" },
	{ "GET info HTTP/1.1\r\n", HTTP_CODE_BAD_REQUEST, "URL" },
	{ "GET  \x01 HTTP/1.1\r\n", HTTP_CODE_BAD_REQUEST, "URL" },
	{ "GET / HTCPCP/1.0\r\n", HTTP_CODE_BAD_REQUEST, "version" },
	{ "GET / HTTP/one\r\n", HTTP_CODE_BAD_REQUEST, "version" },
	{ "GET / HTTP/1.1 x\r\n", HTTP_CODE_BAD_REQUEST, "version" },
	{ "GET / HTTP/2.0\r\n" HOST "\r\n", HTTP_CODE_VERSION_NOT_SUPPORTED, "HTTP/2.0: expected" },
	{ "GET /\r\n\r\n", HTTP_CODE_VERSION_NOT_SUPPORTED, "HTTP/0.9: expected" },
	{ "GET / HTTP/1.1\r\nHo st: a\r\n\r\n", HTTP_CODE_BAD_REQUEST, "header" },
	{ "GET / HTTP/1.1\r\nHost : a\r\n\r\n", HTTP_CODE_BAD_REQUEST, "header" },
	{ "GET / HTTP/1.1\r\n: a\r\n\r\n", HTTP_CODE_BAD_REQUEST, "header" },
	{ "GET / HTTP/1.1\r\n\r\n", HTTP_CODE_BAD_REQUEST, "one valid header field Host" },
	{ "GET / HTTP/1.1\r\n" HOST HOST "\r\n", HTTP_CODE_BAD_REQUEST, "field Host" },
	{ "GET / HTTP/1.0\r\n" HOST HOST "\r\n", HTTP_CODE_BAD_REQUEST, "field Host" },
	{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HTTP_CODE_BAD_REQUEST, "field Host" },
	{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HTTP_CODE_BAD_REQUEST, "field Host" },
	{ "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", HTTP_CODE_BAD_REQUEST, "field Host" },
	{ "GET / HTTP/1.1\r\nHost: a:port\r\n\r\n", HTTP_CODE_BAD_REQUEST, "field Host" },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\n", HTTP_CODE_METHOD_NOT_ALLOWED,
	  "POST: expected GET" },
	{ "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_METHOD_NOT_ALLOWED, "CONNECT: " },
	{ "DELETE /x HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_METHOD_NOT_ALLOWED, "DELETE: " },
	{ "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	  HTTP_CODE_BAD_REQUEST, "not a valid request" },
	{ "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
	  HTTP_CODE_BAD_REQUEST, "not a valid request" },
	{ "GET / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", HTTP_CODE_BAD_REQUEST,
	  "not a valid request" },
	{ "GET /x HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_NOT_FOUND, "/x: not found" },
	{ "GET //info HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_NOT_FOUND, "//info: not found" },
	{ "GET /info%00 HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_NOT_FOUND, "/info%00: not found" },
	{ "GET /%zz HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_NOT_FOUND, "/%zz: not found" },
	{ "GET * HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_NOT_FOUND, "*: not found" },
	{ "OPTIONS /x HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_NOT_FOUND, "/x: not found" },
	{ "OPTIONS / HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_NO_CONTENT, "" },
	{ "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_NO_CONTENT, "" },
	{ "OPTIONS /info HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_NO_CONTENT, "" },
	{ "GET /#a HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST, "/#a: not a valid target" },
	{ "GET /?form=raw HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST, "form: unknown key" },
	{ "GET /?f\"\xc3\xa4=1 HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST,
	  "f\"??: unknown key" },
	{ "GET /?format=http HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST,
	  "format=http: expected raw or framed" },
	{ "GET /?format=%zz HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST,
	  "format=%zz: expected" },
	{ "GET /?format=raw%00 HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST, "KEY=VALUE" },
	{ "GET /?start=now HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST,
	  "start=now: expected live, oldest, " },
	{ "GET /?start=-5x HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST, "EPOCH:SEQUENCE" },
	{ "GET /?start=live&format=raw&start=live HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST,
	  "start: expected once" },
	{ "GET /info?start=live HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST, "no query" },
	{ "GET /?format=raw&format=raw HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST,
	  "format: expected once" },
	{ "GET /?format HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST, "KEY=VALUE" },
	{ "GET /?=raw HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST, "KEY=VALUE" },
	{ "GET /info?format=raw HTTP/1.1\r\n" HOST "\r\n", HTTP_CODE_BAD_REQUEST, "no query" },
};

static struct http_request *begin_request(void)
{
	struct http_request *request = http_request_create();

	if (!request)
		errx(1, "no memory");
	return request;
}

/* Feed pieces of at most @piece bytes. Return: the number of bytes that decided it; 0 if it is not decided. */
static size_t feed_pieces(struct http_request *request, const char *text, size_t length,
			  size_t piece)
{
	size_t fed = 0;

	while (fed < length) {
		size_t n = length - fed < piece ? length - fed : piece;

		/* In memory of its own, so that reading beyond it is seen. */
		char *bytes = malloc(n);

		if (!bytes)
			errx(1, "no memory");
		memcpy(bytes, text + fed, n);
		fed += n;
		if (http_request_feed(request, bytes, n)) {
			free(bytes);
			return fed;
		}
		free(bytes);
	}
	return 0;
}

static void check_valid(const struct valid_case *expected, const struct http_request *request)
{
	const struct http_wish *wish = http_request_wish(request);

	check(wish->code == HTTP_CODE_OK && !*wish->problem, "%s: %s, %s", expected->text,
	      http_code_text(wish->code), wish->problem);
	check(wish->framed == !!(expected->wish & FRAMED) &&
		      wish->head_only == !!(expected->wish & HEAD) &&
		      (wish->resource == HTTP_RESOURCE_INFO) == !!(expected->wish & INFO),
	      "%s: framed %u, HEAD %u, resource %u", expected->text, wish->framed, wish->head_only,
	      wish->resource);
}

/* Feed the request in two parts, and behind it what belongs to no request. */
static void check_valid_split(const struct valid_case *expected, size_t first)
{
	static const char rest[] = "GET /nothing HTTP/9.9\r\n\r\n\x01\x02";
	size_t length = strlen(expected->text);
	struct http_request *request = begin_request();
	char text[512];

	snprintf(text, sizeof(text), "%s%s", expected->text, rest);
	check(http_request_is_empty(request), "not empty at first");
	if (first)
		check(!feed_pieces(request, text, first, first), "%s: decided by %zu bytes",
		      expected->text, first);
	check(http_request_is_empty(request) == !first, "empty after %zu bytes", first);
	check(feed_pieces(request, text + first, strlen(text) - first, SIZE_MAX) &&
		      http_request_feed(request, "x", 1),
	      "%s: split at %zu of %zu, not decided", expected->text, first, length);
	check_valid(expected, request);
	http_request_free(request);
}

static void test_valid(void)
{
	for (size_t i = 0; i < LENGTH(valid); i++) {
		for (size_t first = 0; first < strlen(valid[i].text); first++)
			check_valid_split(&valid[i], first);
	}
	point("a valid request is decided by its last byte, wherever it is split");
}

static void test_start(void)
{
	static const struct {
		const char *query;
		bool has_start;
		struct client_start start;
	} table[] = {
		{ "", false, { 0 } },
		{ "?format=framed", false, { 0 } },
		{ "?start=live", true, { .kind = CLIENT_START_LIVE } },
		{ "?format=raw&start=oldest", true, { .kind = CLIENT_START_OLDEST } },
		{ "?start=-4M&format=raw", true, { .kind = CLIENT_START_BYTES, .bytes = 4 << 20 } },
		{ "?start=-1500ms", true, { .kind = CLIENT_START_AGE, .microseconds = 1500000 } },
		{ "?start=1A2b3c4d:18446744073709551614",
		  true,
		  { .kind = CLIENT_START_AFTER, .after = { 0x1a2b3c4d, UINT64_MAX - 1 } } },
		{ "?start=1a2b3c4d%3a7",
		  true,
		  { .kind = CLIENT_START_AFTER, .after = { 0x1a2b3c4d, 7 } } },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct http_request *request = begin_request();
		const struct http_wish *wish = http_request_wish(request);
		char text[256];

		snprintf(text, sizeof(text), "GET /%s HTTP/1.0\r\n\r\n", table[i].query);
		check(feed_pieces(request, text, strlen(text), SIZE_MAX) &&
			      wish->code == HTTP_CODE_OK,
		      "%s: %s", text, wish->problem);
		check(wish->has_start == table[i].has_start &&
			      (!wish->has_start ||
			       client_start_is_equal(&wish->start, &table[i].start)),
		      "%s: start %u, kind %u", text, wish->has_start, wish->start.kind);
		http_request_free(request);
	}
	point("where a feed begins");
}

static void test_bytewise(void)
{
	for (size_t i = 0; i < LENGTH(valid); i++) {
		size_t length = strlen(valid[i].text);

		for (size_t piece = 1; piece <= 3; piece++) {
			struct http_request *request = begin_request();

			check(feed_pieces(request, valid[i].text, length, piece) == length,
			      "%s: not decided at its end", valid[i].text);
			check_valid(&valid[i], request);
			http_request_free(request);
		}
	}
	point("and in pieces of one to three bytes");
}

static void check_wrong(const struct wrong_case *expected, size_t piece)
{
	struct http_request *request = begin_request();
	const struct http_wish *wish = http_request_wish(request);

	check(feed_pieces(request, expected->text, strlen(expected->text), piece),
	      "%s: not decided", expected->text);
	check(wish->code == expected->code && strstr(wish->problem, expected->problem),
	      "%s: in pieces of %zu: %s, %s", expected->text, piece, http_code_text(wish->code),
	      wish->problem);
	http_request_free(request);
}

static void test_wrong(void)
{
	for (size_t i = 0; i < LENGTH(wrong); i++) {
		for (size_t piece = 1; piece <= strlen(wrong[i].text); piece++)
			check_wrong(&wrong[i], piece);
	}
	point("wrong requests are refused by the same text, whole and in pieces");
}

/* Feed @prefix, then @fill without end. Return: the bytes that decided it. */
static size_t feed_endless(struct http_request *request, const char *prefix, const char *fill,
			   size_t piece)
{
	static char text[4 * HTTP_REQUEST_MAX];
	size_t length = strlen(prefix);

	memcpy(text, prefix, length);
	for (size_t i = 0; length < sizeof(text); i++)
		text[length++] = fill[i % strlen(fill)];
	return feed_pieces(request, text, sizeof(text), piece);
}

static void test_request_limits(void)
{
	static const struct {
		const char *prefix, *fill;
		enum http_code code;
		size_t limit;
	} table[] = {
		{ "GET /", "a", HTTP_CODE_URI_TOO_LONG, 4 + HTTP_TARGET_MAX + 1 },
		{ "GET /?format=", "%41", HTTP_CODE_URI_TOO_LONG, 4 + HTTP_TARGET_MAX + 1 },
		{ "GET / HTTP/1.1\r\nX: ", "a", HTTP_CODE_HEADERS_TOO_LARGE, HTTP_REQUEST_MAX },
		{ "GET / HTTP/1.1\r\nHost: ", "a", HTTP_CODE_HEADERS_TOO_LARGE, HTTP_REQUEST_MAX },
		{ "GET / HTTP/1.1\r\n", "a", HTTP_CODE_HEADERS_TOO_LARGE, HTTP_REQUEST_MAX },
		{ "GET / HTTP/1.1\r\n", "A: b\r\n", HTTP_CODE_HEADERS_TOO_LARGE, HTTP_REQUEST_MAX },
		{ "", "\r\n", HTTP_CODE_HEADERS_TOO_LARGE, HTTP_REQUEST_MAX },
		{ "GET", " ", HTTP_CODE_HEADERS_TOO_LARGE, HTTP_REQUEST_MAX },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct http_request *request = begin_request();
		size_t decided = feed_endless(request, table[i].prefix, table[i].fill, 1);

		check(decided == table[i].limit &&
			      http_request_wish(request)->code == table[i].code,
		      "%s: %s after %zu bytes, expected %zu", table[i].prefix,
		      http_code_text(http_request_wish(request)->code), decided, table[i].limit);
		http_request_free(request);
		request = begin_request();
		check(feed_endless(request, table[i].prefix, table[i].fill, SIZE_MAX) &&
			      http_request_wish(request)->code == table[i].code,
		      "%s: at once, another code", table[i].prefix);
		http_request_free(request);
	}
	point("target and head have their limits, which nothing exceeds by a byte");
}

/* A head of exactly @length bytes. */
static void test_longest(void)
{
	static char text[HTTP_REQUEST_MAX + 1];
	struct http_request *request;
	int begun = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "A: ");

	memset(text + begun, 'a', HTTP_REQUEST_MAX - (size_t)begun);
	memcpy(text + HTTP_REQUEST_MAX - 4, "\r\n\r\n", 5);
	request = begin_request();
	check(feed_pieces(request, text, HTTP_REQUEST_MAX, 1000) == HTTP_REQUEST_MAX &&
		      http_request_wish(request)->code == HTTP_CODE_OK,
	      "%s", http_request_wish(request)->problem);
	http_request_free(request);
	snprintf(text, sizeof(text), "GET /%0*d HTTP/1.0\r\n\r\n", (int)HTTP_TARGET_MAX - 1, 0);
	request = begin_request();
	check(feed_pieces(request, text, strlen(text), 7) &&
		      http_request_wish(request)->code == HTTP_CODE_NOT_FOUND,
	      "%s", http_code_text(http_request_wish(request)->code));
	http_request_free(request);
	point("a head and a target of the greatest length are read");
}

static void test_cut_request(void)
{
	struct http_request *request = begin_request();

	http_request_feed(request, "GET /", 5);
	http_request_cut(request);
	check(http_request_wish(request)->code == HTTP_CODE_BAD_REQUEST &&
		      strstr(http_request_wish(request)->problem, "ends in its head"),
	      "%s", http_request_wish(request)->problem);
	http_request_expire(request);
	check(http_request_wish(request)->code == HTTP_CODE_BAD_REQUEST, "decided twice");
	http_request_free(request);
	request = begin_request();
	http_request_expire(request);
	check(http_request_wish(request)->code == HTTP_CODE_REQUEST_TIMEOUT &&
		      http_request_feed(request, "GET / HTTP/1.0\r\n\r\n", 18) &&
		      http_request_wish(request)->code == HTTP_CODE_REQUEST_TIMEOUT,
	      "%s", http_code_text(http_request_wish(request)->code));
	http_request_free(request);
	http_request_free(NULL);
	point("a request that is cut short or takes too long is decided by that");
}

/* Change some bytes of a request of the tables. Return: its length. */
static size_t mutate_request(struct dice *dice, char text[512])
{
	uint32_t index = dice_roll(dice, 0, LENGTH(valid) + LENGTH(wrong) - 1);
	size_t length;

	length = (size_t)snprintf(text, 512, "%s",
				  index < LENGTH(valid) ? valid[index].text
							: wrong[index - LENGTH(valid)].text);
	for (uint32_t changes = dice_roll(dice, 0, 3); changes; changes--)
		text[dice_roll(dice, 0, (uint32_t)length - 1)] = (char)dice_bits(dice);
	return length;
}

static void test_random_requests(unsigned int steps)
{
	struct dice dice = { .state = 63 };
	char text[512];

	for (unsigned int step = 0; step < steps; step++) {
		size_t length = mutate_request(&dice, text);
		struct http_request *whole = begin_request(), *pieces = begin_request();
		bool decided = feed_pieces(whole, text, length, SIZE_MAX);

		check(!!feed_pieces(pieces, text, length, dice_roll(&dice, 1, 8)) == decided,
		      "step %u: decided %u, in pieces not", step, decided);
		check(!memcmp(http_request_wish(whole), http_request_wish(pieces),
			      sizeof(struct http_wish)),
		      "step %u: %s, in pieces %s", step, http_request_wish(whole)->problem,
		      http_request_wish(pieces)->problem);
		http_request_free(whole);
		http_request_free(pieces);
	}
	point("random requests have one result, whole and in pieces");
}

/* ---- answers ---- */

/* Return: the text of @answer, which is released; valid until the next call. */
static const char *answer_text(struct shared_bytes *answer)
{
	static char text[4096];

	if (!answer || answer->length >= sizeof(text))
		errx(1, "no answer");
	memcpy(text, answer->bytes, answer->length);
	text[answer->length] = '\0';
	shared_bytes_release(answer);
	return text;
}

static const char *body_of(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");

	return end ? end + 4 : "no end of the head";
}

static void test_request_answers(void)
{
	static const char *const common[] = { "\r\nDate: ", "\r\nCache-Control: no-store\r\n",
					      "\r\nConnection: close\r\n",
					      "\r\nAccess-Control-Allow-Origin: *\r\n" };
	const struct block_name first = { 0x1a2b3c, UINT64_MAX };
	struct shared_bytes *metadata = shared_bytes_create("{\"a\":1}", 7);
	const char *text = answer_text(http_answer_feed(&first));

	for (size_t i = 0; i < LENGTH(common); i++)
		check(strstr(text, common[i]), "no %s in %s", common[i], text);
	check(!strncmp(text, "HTTP/1.1 200 OK\r\n", 17) && !*body_of(text) &&
		      strstr(text, "\r\nContent-Type: application/octet-stream\r\n") &&
		      strstr(text, "\r\nDmacast-Epoch: 001a2b3c\r\n") &&
		      strstr(text, "\r\nDmacast-Sequence: 18446744073709551615\r\n") &&
		      !strstr(text, "Content-Length") && !strstr(text, "Transfer-Encoding"),
	      "%s", text);
	point("the head of the feed has its place and no length");

	text = answer_text(http_answer_info(metadata, false));
	check(!strcmp(body_of(text), "{\"a\":1}") && strstr(text, "\r\nContent-Length: 7\r\n") &&
		      strstr(text, "\r\nContent-Type: application/json\r\n"),
	      "%s", text);
	text = answer_text(http_answer_info(metadata, true));
	check(!*body_of(text) && strstr(text, "\r\nContent-Length: 7\r\n"), "%s", text);
	shared_bytes_release(metadata);
	text = answer_text(http_answer_methods());
	check(!strncmp(text, "HTTP/1.1 204 No Content\r\n", 25) && !*body_of(text) &&
		      strstr(text, "\r\nAllow: GET, HEAD, OPTIONS\r\n") &&
		      !strstr(text, "Content-Length"),
	      "%s", text);
	point("so have the metadata and the methods");
}

static void test_error_answers(void)
{
	struct http_wish wish = { .code = HTTP_CODE_METHOD_NOT_ALLOWED, .problem = "a \"b\"" };
	const struct block_name oldest = { 0x1a2b3c4d, 7 };
	const char *text = answer_text(http_answer_error(&wish, NULL));

	check(!strcmp(body_of(text), "{\"error\":\"a \\\"b\\\"\"}\n") &&
		      strstr(text, "\r\nContent-Length: 20\r\n") && strstr(text, "\r\nAllow: GET"),
	      "%s", text);
	wish.head_only = true;
	wish.code = HTTP_CODE_NOT_FOUND;
	text = answer_text(http_answer_error(&wish, NULL));
	check(!strncmp(text, "HTTP/1.1 404 Not Found\r\n", 24) && !*body_of(text) &&
		      !strstr(text, "Allow:"),
	      "%s", text);
	wish = (struct http_wish){ .code = HTTP_CODE_GONE, .problem = "late" };
	text = answer_text(http_answer_error(&wish, &oldest));
	check(!strcmp(body_of(text), "{\"error\":\"late\",\"oldest\":\"1a2b3c4d:7\"}\n"), "%s",
	      text);
	for (enum http_code code = 0; code < HTTP_CODES; code++)
		check((unsigned int)atoi(http_code_text(code)) == http_code_number(code) &&
			      strlen(http_code_text(code)) > 4,
		      "code %u is %s", code, http_code_text(code));
	point("an error has its text, and the methods where it must");
}

/* Pass on an undecided request. Return: the same one as the other process has it. */
static struct http_request *pass_request(struct http_request *request)
{
	struct state *state = state_begin_saving();

	http_request_transfer(request, state);
	http_request_free(request);
	state = state_pass(state);
	request = http_request_create();
	http_request_transfer(request, state);
	state_end_pass(state);
	return request;
}

/* Pass on each request between any two of its bytes. */
static void test_request_transfer(void)
{
	for (size_t i = 0; i < LENGTH(valid); i++) {
		size_t length = strlen(valid[i].text);

		for (size_t cut = 0; cut < length; cut++) {
			struct http_request *request = http_request_create();

			if (cut)
				check(!http_request_feed(request, valid[i].text, cut), "decided");
			request = pass_request(request);
			check(http_request_is_empty(request) == !cut, "%zu bytes", cut);
			check(http_request_feed(request, valid[i].text + cut, length - cut) &&
				      http_request_wish(request)->framed ==
					      !!(valid[i].wish & FRAMED) &&
				      http_request_wish(request)->head_only ==
					      !!(valid[i].wish & HEAD),
			      "%s, cut at %zu: %s", valid[i].text, cut,
			      http_request_wish(request)->problem);
			http_request_free(request);
		}
	}
	point("a request that another process goes on to read is the same");
}

int main(int argc, char **argv)
{
	test_valid();
	test_start();
	test_bytewise();
	test_wrong();
	test_request_limits();
	test_longest();
	test_cut_request();
	test_request_transfer();
	test_random_requests(argc > 1 ? (unsigned int)atoi(argv[1]) : 20000);
	test_request_answers();
	test_error_answers();
	return tap_end();
}
