// SPDX-License-Identifier: BSD-2-Clause
/* The answer of an HTTP server to dmacastctl cat. The first byte is the size of the pieces. */
#include "ctl/cat_answer.h"

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
	struct cat_answer *answer = cat_answer_create(take_body, &sink);
	enum cat_answer_state state = CAT_ANSWER_HEAD;
	char error[CAT_ANSWER_ERROR];

	if (!answer)
		abort();
	while (input->left && (state == CAT_ANSWER_HEAD || state == CAT_ANSWER_STREAM)) {
		size_t length = input->left < piece ? input->left : piece;

		state = cat_answer_feed(answer, (const char *)input->next, length);
		check(state != CAT_ANSWER_HEAD || !sink.length, "a body before its header");
		input->next += length;
		input->left -= length;
	}
	state = cat_answer_feed(answer, NULL, 0);
	check(sink.length <= all, "a body of %zu bytes", sink.length);
	if (state == CAT_ANSWER_BAD || state == CAT_ANSWER_REFUSED)
		for (const char *c = cat_answer_error(answer, error); *c; c++)
			check((unsigned char)*c >= ' ' && *c != 0x7f, "a control character");
	cat_answer_free(answer);
}
