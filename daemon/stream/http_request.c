// SPDX-License-Identifier: BSD-2-Clause
#include "stream/http_request.h"

#include "lib/state.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <http_parser.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Longest name of a host with its port, in bytes. */
#define MAX_HOST 262
#define HOST_SCHEME "http://"

/* Longest name of a header that is compared. */
#define MAX_HEADER_NAME 8

struct http_request {
	http_parser parser;
	size_t length;	       /* bytes read */
	struct evbuffer *head; /* these bytes, for http_request_transfer() */
	char first;	       /* the first one */
	bool decided;
	bool line_ended;
	char line_end[8]; /* last bytes of the request line, or of what has come of it */
	struct http_wish wish;
	char target[HTTP_TARGET_MAX + 1];
	size_t target_length;
	/* The header that is read: its name, up to one byte more than the longest that is compared. */
	char name[MAX_HEADER_NAME + 1];
	size_t name_length;
	bool in_value;
	unsigned int hosts;
	char host[sizeof(HOST_SCHEME) + MAX_HOST]; /* as a URL */
	size_t host_length;
};

/* ---- decisions ---- */

static void __attribute__((format(printf, 3, 4)))
request_decide(struct http_request *request, enum http_code code, const char *problem, ...)
{
	char *text = request->wish.problem;
	va_list arguments;

	if (request->decided)
		return;
	va_start(arguments, problem);
	vsnprintf(text, sizeof(request->wish.problem), problem, arguments);
	va_end(arguments);
	/* It quotes the request, and goes into a text in UTF-8. */
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
	request->wish.code = code;
	request->decided = true;
}

/* Refuse a request that is none of HTTP. */
static void request_refuse_malformed(struct http_request *request, enum http_errno error)
{
	request_decide(request, HTTP_CODE_BAD_REQUEST, "not a valid request: %s",
		       http_errno_description(error));
}

/* ---- the query ---- */

static void request_take_format(struct http_request *request, const char *value)
{
	request->wish.framed = !strcmp(value, "framed");
	if (!request->wish.framed && strcmp(value, "raw"))
		request_decide(request, HTTP_CODE_BAD_REQUEST,
			       "format=%.40s: expected raw or framed", value);
}

static void request_take_start(struct http_request *request, const char *value)
{
	const char *expected;

	request->wish.has_start = client_start_parse(value, true, &request->wish.start, &expected);
	if (!request->wish.has_start)
		request_decide(request, HTTP_CODE_BAD_REQUEST, "start=%.40s: expected %s", value,
			       expected);
}

static const struct query_key {
	const char *name;
	/* Take the value, or refuse the request. */
	void (*take)(struct http_request *request, const char *value);
} query_keys[] = {
	{ "format", request_take_format },
	{ "start", request_take_start },
};

#define QUERY_KEYS (sizeof(query_keys) / sizeof(query_keys[0]))

/* Return: NULL if there is no such key. */
static const struct query_key *query_find_key(const char *name)
{
	for (size_t i = 0; i < QUERY_KEYS; i++) {
		if (!strcmp(query_keys[i].name, name))
			return &query_keys[i];
	}
	return NULL;
}

static void request_take_pair(struct http_request *request, const struct evkeyval *pair,
			      bool given[QUERY_KEYS])
{
	const struct query_key *key = query_find_key(pair->key);

	if (!key) {
		request_decide(request, HTTP_CODE_BAD_REQUEST,
			       "%.40s: unknown key in the query; expected format or start",
			       pair->key);
	} else if (given[key - query_keys]) {
		request_decide(request, HTTP_CODE_BAD_REQUEST, "%s: expected once", key->name);
	} else {
		given[key - query_keys] = true;
		key->take(request, pair->value);
	}
}

static void request_take_query(struct http_request *request, const char *query)
{
	bool given[QUERY_KEYS] = { false };
	const struct evkeyval *pair;
	struct evkeyvalq pairs;

	/* A value of evhttp ends there. */
	if (strstr(query, "%00") || evhttp_parse_query_str(query, &pairs)) {
		request_decide(request, HTTP_CODE_BAD_REQUEST,
			       "expected a query of KEY=VALUE, with & between them");
		return;
	}
	TAILQ_FOREACH (pair, &pairs, next)
		request_take_pair(request, pair, given);
	evhttp_clear_headers(&pairs);
}

/* ---- the target ---- */

/* Return: the part of the target as a text to be freed, or NULL without memory. */
static char *request_part(const struct http_request *request, const struct http_parser_url *url,
			  enum http_parser_url_fields field, const char *missing)
{
	if (!(url->field_set & (1U << field)))
		return strdup(missing);
	return strndup(request->target + url->field_data[field].off, url->field_data[field].len);
}

static bool request_path_is(const char *path, size_t length, const char *wanted)
{
	return length == strlen(wanted) && !memcmp(path, wanted, length);
}

/* @path: decoded, with @length, as NUL may be encoded, too. Return: false if there is no such resource. */
static bool request_take_path(struct http_request *request, const char *path, size_t length)
{
	if (request_path_is(path, length, "/info"))
		request->wish.resource = HTTP_RESOURCE_INFO;
	else if (!request_path_is(path, length, "/"))
		return request->parser.method == HTTP_OPTIONS && !strcmp(path, "*");
	return true;
}

static void request_decide_resource(struct http_request *request, const char *path,
				    const char *query)
{
	size_t length = 0;
	char *decoded = evhttp_uridecode(path, 0, &length);

	if (!decoded) {
		request_decide(request, HTTP_CODE_SERVICE_UNAVAILABLE, "no memory");
	} else if (!request_take_path(request, decoded, length)) {
		request_decide(request, HTTP_CODE_NOT_FOUND,
			       "%.60s: not found; expected / or /info", path);
	} else if (request->parser.method == HTTP_OPTIONS) {
		request_decide(request, HTTP_CODE_NO_CONTENT, "%s", "");
	} else {
		if (request->wish.resource == HTTP_RESOURCE_FEED)
			request_take_query(request, query);
		else if (*query)
			request_decide(request, HTTP_CODE_BAD_REQUEST, "/info: expected no query");
		request_decide(request, HTTP_CODE_OK, "%s", "");
	}
	free(decoded);
}

static void request_decide_target(struct http_request *request)
{
	struct http_parser_url url;
	char *path, *query;

	http_parser_url_init(&url);
	if (http_parser_parse_url(request->target, request->target_length, 0, &url) ||
	    url.field_set & (1U << UF_FRAGMENT)) {
		request_decide(request, HTTP_CODE_BAD_REQUEST, "%.60s: not a valid target",
			       request->target);
		return;
	}
	path = request_part(request, &url, UF_PATH, "/");
	query = request_part(request, &url, UF_QUERY, "");
	if (path && query)
		request_decide_resource(request, path, query);
	else
		request_decide(request, HTTP_CODE_SERVICE_UNAVAILABLE, "no memory");
	free(path);
	free(query);
}

/* ---- the head ---- */

/* Return true if the value is a host with or without a port. It may be empty. */
static bool request_is_host_valid(const struct http_request *request)
{
	size_t length = request->host_length;
	struct http_parser_url url;

	if (length == sizeof(request->host))
		return false;
	while (request->host[length - 1] == ' ' || request->host[length - 1] == '\t')
		length--;
	if (length == strlen(HOST_SCHEME))
		return true;
	http_parser_url_init(&url);
	return !http_parser_parse_url(request->host, length, 0, &url) &&
	       !(url.field_set & ~(1U << UF_SCHEMA | 1U << UF_HOST | 1U << UF_PORT));
}

static bool request_has_host(const struct http_request *request)
{
	if (!request->hosts)
		return request->parser.http_minor == 0;
	return request->hosts == 1 && request_is_host_valid(request);
}

/* The parser compares these letters only if it was built with HTTP_PARSER_STRICT. */
static bool request_names_http(const struct http_request *request)
{
	return !memcmp(request->line_end, "HTTP/", strlen("HTTP/"));
}

static void request_decide_head(struct http_request *request)
{
	const http_parser *parser = &request->parser;

	request->wish.head_only = parser->method == HTTP_HEAD;
	if (parser->http_major != 1)
		request_decide(request, HTTP_CODE_VERSION_NOT_SUPPORTED,
			       "HTTP/%u.%u: expected HTTP/1.0 or HTTP/1.1", parser->http_major,
			       parser->http_minor);
	else if (!request_names_http(request))
		request_refuse_malformed(request, HPE_INVALID_VERSION);
	else if (!request_has_host(request))
		request_decide(request, HTTP_CODE_BAD_REQUEST,
			       "expected one valid header field Host");
	else if (parser->method != HTTP_GET && parser->method != HTTP_HEAD &&
		 parser->method != HTTP_OPTIONS)
		request_decide(request, HTTP_CODE_METHOD_NOT_ALLOWED,
			       "%s: expected GET, HEAD or OPTIONS",
			       http_method_str((enum http_method)parser->method));
	else
		request_decide_target(request);
}

/* ---- callbacks of the parser; other values than 0 end it ---- */

static struct http_request *request_of(http_parser *parser)
{
	return parser->data;
}

static int request_add_target(http_parser *parser, const char *bytes, size_t length)
{
	struct http_request *request = request_of(parser);

	if (length > HTTP_TARGET_MAX - request->target_length) {
		request_decide(request, HTTP_CODE_URI_TOO_LONG,
			       "the target in the request line is longer than %u bytes",
			       HTTP_TARGET_MAX);
		return 1;
	}
	memcpy(request->target + request->target_length, bytes, length);
	request->target_length += length;
	return 0;
}

static int request_add_header_name(http_parser *parser, const char *bytes, size_t length)
{
	struct http_request *request = request_of(parser);
	size_t free_bytes;

	/* The parser may have been built without HTTP_PARSER_STRICT, and accepts this then. */
	if (memchr(bytes, ' ', length)) {
		request_refuse_malformed(request, HPE_INVALID_HEADER_TOKEN);
		return 1;
	}
	if (request->in_value)
		request->name_length = 0;
	request->in_value = false;
	free_bytes = sizeof(request->name) - request->name_length;
	if (length > free_bytes)
		length = free_bytes;
	memcpy(request->name + request->name_length, bytes, length);
	request->name_length += length;
	return 0;
}

static int request_add_header_value(http_parser *parser, const char *bytes, size_t length)
{
	struct http_request *request = request_of(parser);
	size_t free_bytes = sizeof(request->host) - request->host_length;

	if (request->name_length != 4 || strncasecmp(request->name, "Host", 4)) {
		request->in_value = true;
		return 0;
	}
	if (!request->in_value)
		request->hosts++;
	request->in_value = true;
	/* One that is too long fills the buffer. */
	if (length > free_bytes)
		length = free_bytes;
	memcpy(request->host + request->host_length, bytes, length);
	request->host_length += length;
	return 0;
}

static int request_end_head(http_parser *parser)
{
	/* "The rest is another protocol": the parser returns. */
	enum { STOP = 2 };

	request_decide_head(request_of(parser));
	return STOP;
}

static const http_parser_settings request_callbacks = {
	.on_url = request_add_target,
	.on_header_field = request_add_header_name,
	.on_header_value = request_add_header_value,
	.on_headers_complete = request_end_head,
};

/* ---- reading ---- */

struct http_request *http_request_create(void)
{
	struct http_request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->head = evbuffer_new();
	if (!request->head) {
		free(request);
		return NULL;
	}
	http_parser_init(&request->parser, HTTP_REQUEST);
	request->parser.data = request;
	request->host_length = strlcpy(request->host, HOST_SCHEME, sizeof(request->host));
	return request;
}

/* The parser knows no such method. */
static void request_decide_method(struct http_request *request)
{
	if (request->first >= 'A' && request->first <= 'Z')
		request_decide(request, HTTP_CODE_NOT_IMPLEMENTED,
			       "unknown method; expected GET, HEAD or OPTIONS");
	else
		request_decide(request, HTTP_CODE_BAD_REQUEST, "not a request of HTTP");
}

static void request_decide_error(struct http_request *request)
{
	enum http_errno error = HTTP_PARSER_ERRNO(&request->parser);

	if (error == HPE_INVALID_METHOD)
		request_decide_method(request);
	else
		request_refuse_malformed(request, error);
}

static void request_keep_line_end(struct http_request *request, const char *bytes, size_t length)
{
	char *end = request->line_end;

	for (size_t i = 0; i < length && !request->line_ended; i++) {
		if (bytes[i] == '\n') {
			/* Empty lines in front of the request line are allowed. */
			request->line_ended = end[sizeof(request->line_end) - 1];
		} else if (bytes[i] != '\r') {
			memmove(end, end + 1, sizeof(request->line_end) - 1);
			end[sizeof(request->line_end) - 1] = bytes[i];
		}
	}
}

bool http_request_feed(struct http_request *request, const void *bytes, size_t length)
{
	if (request->decided)
		return true;
	if (length > HTTP_REQUEST_MAX - request->length)
		length = HTTP_REQUEST_MAX - request->length;
	if (!request->length)
		request->first = *(const char *)bytes;
	if (evbuffer_add(request->head, bytes, length))
		request_decide(request, HTTP_CODE_SERVICE_UNAVAILABLE, "no memory");
	request_keep_line_end(request, bytes, length);
	http_parser_execute(&request->parser, &request_callbacks, bytes, length);
	request->length += length;
	if (HTTP_PARSER_ERRNO(&request->parser) != HPE_OK)
		request_decide_error(request);
	else if (request->length == HTTP_REQUEST_MAX)
		request_decide(request, HTTP_CODE_HEADERS_TOO_LARGE,
			       "request line and headers are longer than %u bytes",
			       HTTP_REQUEST_MAX);
	return request->decided;
}

bool http_request_is_empty(const struct http_request *request)
{
	return !request->length;
}

void http_request_cut(struct http_request *request)
{
	request_decide(request, HTTP_CODE_BAD_REQUEST, "the request ends in its head");
}

void http_request_expire(struct http_request *request)
{
	request_decide(request, HTTP_CODE_REQUEST_TIMEOUT,
		       "the request took too long; send its head at once");
}

const struct http_wish *http_request_wish(const struct http_request *request)
{
	return &request->wish;
}

/* The parser's own state depends on its version, so read the bytes again. */
void http_request_transfer(struct http_request *request, struct state *state)
{
	size_t length = evbuffer_get_length(request->head);
	unsigned char head[HTTP_REQUEST_MAX], *bytes = head;

	if (state_is_saving(state)) {
		evbuffer_copyout(request->head, head, sizeof(head));
		state_bytes(state, "head", &bytes, &length, sizeof(head));
		return;
	}
	bytes = NULL;
	state_bytes(state, "head", &bytes, &length, sizeof(head));
	if (bytes)
		http_request_feed(request, bytes, length);
	free(bytes);
}

void http_request_free(struct http_request *request)
{
	if (request)
		evbuffer_free(request->head);
	free(request);
}
