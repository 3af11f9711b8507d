// SPDX-License-Identifier: BSD-2-Clause
#include "lib/stream_url.h"

#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HTTP_PORT "80"

static bool stream_url_field_is(const struct http_parser_url *parsed, const char *text, int field,
				const char *expected)
{
	size_t length = parsed->field_data[field].len;

	return length == strlen(expected) &&
	       !memcmp(text + parsed->field_data[field].off, expected, length);
}

static bool stream_url_has_field(const struct http_parser_url *parsed, int field)
{
	return parsed->field_set & (1U << field);
}

/* The parser has checked host and port; it leaves out the brackets of an IPv6 address. */
static bool stream_url_copy_address(struct stream_url *url, const struct http_parser_url *parsed)
{
	struct address *address = &url->address;
	int host = parsed->field_data[UF_HOST].len, port = parsed->field_data[UF_PORT].len;

	if (!host || (size_t)host >= sizeof(address->host) || (size_t)port >= sizeof(address->port))
		return false;
	snprintf(address->host, sizeof(address->host), "%.*s", host,
		 url->text + parsed->field_data[UF_HOST].off);
	snprintf(address->port, sizeof(address->port), "%.*s", port,
		 url->text + parsed->field_data[UF_PORT].off);
	if (!port && url->http)
		strcpy(address->port, HTTP_PORT);
	return address->port[0] && strcmp(address->port, "0");
}

static bool stream_url_copy_path(struct stream_url *url, const struct http_parser_url *parsed)
{
	url->path = url->text + parsed->field_data[UF_PATH].off;
	url->path_bytes = parsed->field_data[UF_PATH].len;
	url->query = url->text + parsed->field_data[UF_QUERY].off;
	url->query_bytes = parsed->field_data[UF_QUERY].len;
	return url->http || (!stream_url_has_field(parsed, UF_QUERY) && url->path_bytes <= 1);
}

bool stream_url_parse(const char *text, struct stream_url *url, const char **expected)
{
	struct http_parser_url parsed;

	*expected = "tcp://HOST:PORT or http://HOST:PORT/PATH, with an IPv6 address in brackets";
	*url = (struct stream_url){ .text = text };
	http_parser_url_init(&parsed);
	if (http_parser_parse_url(text, strlen(text), 0, &parsed))
		return false;
	url->http = stream_url_field_is(&parsed, text, UF_SCHEMA, "http");
	if (!url->http && !stream_url_field_is(&parsed, text, UF_SCHEMA, "tcp"))
		return false;
	if (stream_url_has_field(&parsed, UF_USERINFO)) {
		*expected = "a URL without user and password, which dmacastd does not have";
		return false;
	}
	return stream_url_copy_address(url, &parsed) && stream_url_copy_path(url, &parsed);
}

/* Return the length of the parameter at @text: up to '&' or the end. */
static size_t stream_url_parameter_bytes(const char *text, size_t length)
{
	const char *end = memchr(text, '&', length);

	return end ? (size_t)(end - text) : length;
}

static bool stream_url_parameter_is(const char *parameter, size_t length, const char *name)
{
	size_t bytes = strlen(name);

	return length >= bytes && !memcmp(parameter, name, bytes) &&
	       (length == bytes || parameter[bytes] == '=');
}

bool stream_url_has(const struct stream_url *url, const char *name)
{
	const char *at = url->query, *end = url->query + url->query_bytes;

	for (size_t length; at < end; at += length + 1) {
		length = stream_url_parameter_bytes(at, (size_t)(end - at));
		if (stream_url_parameter_is(at, length, name))
			return true;
	}
	return false;
}

/* Write the parameters of the URL that are not replaced. Return: how a further parameter begins. */
static char stream_url_write_query(const struct stream_url *url, const char *format,
				   const char *start, FILE *request)
{
	const char *at = url->query, *end = url->query + url->query_bytes;
	char separator = '?';

	for (size_t length; at < end; at += length + 1) {
		length = stream_url_parameter_bytes(at, (size_t)(end - at));
		if ((format && stream_url_parameter_is(at, length, "format")) ||
		    (start && stream_url_parameter_is(at, length, "start")))
			continue;
		fprintf(request, "%c%.*s", separator, (int)length, at);
		separator = '&';
	}
	return separator;
}

static void stream_url_write_target(const struct stream_url *url, const char *format,
				    const char *start, FILE *request)
{
	char separator;

	fprintf(request, "%.*s", (int)url->path_bytes, url->path);
	if (!url->path_bytes)
		putc('/', request);
	separator = stream_url_write_query(url, format, start, request);
	if (format) {
		fprintf(request, "%cformat=%s", separator, format);
		separator = '&';
	}
	if (start)
		fprintf(request, "%cstart=%s", separator, start);
}

char *stream_url_request(const struct stream_url *url, const struct stream_request *wanted)
{
	bool v6 = strchr(url->address.host, ':');
	char *text = NULL;
	size_t length;
	FILE *request = open_memstream(&text, &length);

	if (!request)
		return NULL;
	fputs("GET ", request);
	stream_url_write_target(url, wanted->format, wanted->start, request);
	fprintf(request,
		" HTTP/1.%u\r\nHost: %s%s%s:%s\r\nUser-Agent: %s/%s\r\nAccept: */*\r\n"
		"Connection: close\r\n\r\n",
		wanted->no_chunks ? 0 : 1, v6 ? "[" : "", url->address.host, v6 ? "]" : "",
		url->address.port, wanted->program, DMACAST_VERSION);
	if (fclose(request)) {
		free(text);
		return NULL;
	}
	return text;
}
