// SPDX-License-Identifier: BSD-2-Clause
/* The answer of an HTTP server to dmacastctl cat. The first byte is the size of the pieces. */
#include "lib/http_response.h"

#include "fuzz.h"

struct answer_sink {
	size_t length, limit;
};

static bool take_body(void *data, const unsigned char *bytes, size_t length)
{
	struct answer_sink *sink = data;

	check(bytes && length, "no bytes");
	sink->length += length;
	return sink->length < sink->limit;
}

void fuzz_one(struct fuzz_input *input)
{
	size_t piece = 1 + fuzz_byte(input), all = input->left;
	struct answer_sink sink = { .limit = 1 + fuzz_byte(input) * 16U };
	struct http_response *answer = http_response_create(take_body, &sink);
	enum http_response_state state = HTTP_RESPONSE_HEAD;
	char error[HTTP_RESPONSE_ERROR];

	if (!answer)
		abort();
	while (input->left && (state == HTTP_RESPONSE_HEAD || state == HTTP_RESPONSE_STREAM)) {
		size_t length = input->left < piece ? input->left : piece;

		state = http_response_feed(answer, (const char *)input->next, length);
		check(state != HTTP_RESPONSE_HEAD || !sink.length, "a body before its header");
		input->next += length;
		input->left -= length;
	}
	state = http_response_feed(answer, NULL, 0);
	check(sink.length <= all, "a body of %zu bytes", sink.length);
	if (state == HTTP_RESPONSE_BAD || state == HTTP_RESPONSE_REFUSED)
		for (const char *c = http_response_error(answer, error); *c; c++)
			check((unsigned char)*c >= ' ' && *c != 0x7f, "a control character");
	http_response_free(answer);
}
