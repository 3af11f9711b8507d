/* SPDX-License-Identifier: BSD-2-Clause */
/* The status codes that HTTP clients of streams are answered with. */
#ifndef DMACAST_HTTP_CODE_H
#define DMACAST_HTTP_CODE_H

enum http_code {
	HTTP_CODE_OK,
	HTTP_CODE_NO_CONTENT,
	HTTP_CODE_BAD_REQUEST,
	HTTP_CODE_NOT_FOUND,
	HTTP_CODE_METHOD_NOT_ALLOWED,
	HTTP_CODE_REQUEST_TIMEOUT,
	HTTP_CODE_CONFLICT,
	HTTP_CODE_GONE,
	HTTP_CODE_URI_TOO_LONG,
	HTTP_CODE_HEADERS_TOO_LARGE,
	HTTP_CODE_NOT_IMPLEMENTED,
	HTTP_CODE_SERVICE_UNAVAILABLE,
	HTTP_CODE_VERSION_NOT_SUPPORTED,
	HTTP_CODES
};

/** http_code_number() - return the number of the code: 404. */
unsigned int http_code_number(enum http_code code);

/** http_code_text() - return the number and the phrase of the code, as a constant text: "404 Not Found". */
const char *http_code_text(enum http_code code);

#endif
