// SPDX-License-Identifier: BSD-2-Clause
/* URLs of dmacastctl cat, and the requests that are made of them. */
#include "lib/stream_url.h"

#include "tap.h"

#include <stdlib.h>
#include <string.h>

static void test_addresses(void)
{
	static const struct {
		const char *text, *host, *port;
		bool http;
	} examples[] = {
		{ "tcp://127.0.0.1:7000", "127.0.0.1", "7000", false },
		{ "tcp://[::1]:7000", "::1", "7000", false },
		{ "tcp://radio.example:7000/", "radio.example", "7000", false },
		{ "http://radio.example", "radio.example", "80", true },
		{ "http://[fe80::1]:8080/a?b", "fe80::1", "8080", true },
	};
	struct stream_url url;
	const char *expected;

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		check(stream_url_parse(examples[i].text, &url, &expected), "%s: expected %s",
		      examples[i].text, expected);
		check(!strcmp(url.address.host, examples[i].host) &&
			      !strcmp(url.address.port, examples[i].port),
		      "%s: host %s, port %s", examples[i].text, url.address.host, url.address.port);
		check(url.http == examples[i].http, "%s: http", examples[i].text);
	}
	point("addresses");
}

static void test_malformed(void)
{
	static const char *const texts[] = {
		"",
		"127.0.0.1:7000",
		"tcp://127.0.0.1",
		"tcp://127.0.0.1:0",
		"tcp://127.0.0.1:70000",
		"tcp://:7000",
		"tcp://::1:7000",
		"tcp://127.0.0.1:7000/path",
		"tcp://127.0.0.1:7000/?start=oldest",
		"https://127.0.0.1/",
		"udp://127.0.0.1:7000",
		"http://user:password@127.0.0.1/",
		"http:///path",
		"http://127.0.0.1/a b",
		"http://127.0.0.1/\r\nX: y",
	};
	struct stream_url url;
	const char *expected;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check(!stream_url_parse(texts[i], &url, &expected) && *expected, "'%s'", texts[i]);
	point("malformed URLs");
}

static void check_request(const char *request, const char *line, const char *host)
{
	size_t length = strlen(line);

	check(!strncmp(request, line, length) && !strncmp(request + length, "\r\n", 2),
	      "got %s, expected %s", request, line);
	check(strstr(request, host), "got %s, expected %s", request, host);
	check(!strcmp(request + strlen(request) - 4, "\r\n\r\n"), "the end of %s", request);
}

static void test_requests(void)
{
	static const struct {
		const char *text, *format, *start, *line, *host;
	} examples[] = {
		{ "http://h:80", NULL, NULL, "GET / HTTP/1.1", "Host: h:80" },
		{ "http://h:1/a/b", "framed", NULL, "GET /a/b?format=framed HTTP/1.1",
		  "Host: h:1" },
		{ "http://h:1?x=1", "framed", "oldest",
		  "GET /?x=1&format=framed&start=oldest HTTP/1.1", "Host: h:1" },
		{ "http://h:1/?start=live&x&format=raw", "framed", "1a2b3c4d:7",
		  "GET /?x&format=framed&start=1a2b3c4d:7 HTTP/1.1", "Host: h:1" },
		{ "http://h:1/?start=live&x&format=raw", NULL, NULL,
		  "GET /?start=live&x&format=raw HTTP/1.1", "Host: h:1" },
		{ "http://h:1/?starts=live#start=1", NULL, "oldest",
		  "GET /?starts=live&start=oldest HTTP/1.1", "Host: h:1" },
		{ "http://[::1]:1/?start", NULL, "oldest", "GET /?start=oldest HTTP/1.1",
		  "Host: [::1]:1" },
		{ "http://h:1/a", NULL, NULL, "GET /a HTTP/1.0", "User-Agent: test/" },
	};
	struct stream_url url;
	const char *expected;

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct stream_request wanted = {
			.program = "test",
			.format = examples[i].format,
			.start = examples[i].start,
			.no_chunks = strstr(examples[i].line, "HTTP/1.0"),
		};
		char *request;

		check(stream_url_parse(examples[i].text, &url, &expected), "%s", examples[i].text);
		request = stream_url_request(&url, &wanted);
		if (check(request, "%s: no request", examples[i].text))
			check_request(request, examples[i].line, examples[i].host);
		free(request);
	}
	check(stream_url_parse("http://h/?format=raw", &url, &expected) &&
		      stream_url_has(&url, "format") && !stream_url_has(&url, "start") &&
		      !stream_url_has(&url, "form"),
	      "the parameters of a query");
	point("requests, with the parameters that the program sets in place of the URL's");
}

int main(void)
{
	test_addresses();
	test_malformed();
	test_requests();
	return tap_end();
}
