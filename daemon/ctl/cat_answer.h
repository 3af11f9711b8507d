/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer of an HTTP server to the request of a stream: a parser without input or output. */
#ifndef DMACAST_CAT_ANSWER_H
#define DMACAST_CAT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#define CAT_ANSWER_ERROR 256

struct cat_answer;

enum cat_answer_state {
	CAT_ANSWER_HEAD,     /* the header, or the text of a refusal, is not complete */
	CAT_ANSWER_STREAM,   /* 200, and the bytes of the stream */
	CAT_ANSWER_COMPLETE, /* the stream is complete, by its length or its last chunk */
	CAT_ANSWER_REFUSED,  /* another status, and its text is complete or long enough */
	CAT_ANSWER_BAD,	     /* this is no answer */
};

/* Receive bytes of the stream. Return: false to receive no more. */
typedef bool cat_answer_sink(void *data, const unsigned char *bytes, size_t length);

/** cat_answer_create() - return a parser that passes the body of a 200 to @sink; NULL without memory. */
struct cat_answer *cat_answer_create(cat_answer_sink *sink, void *data);

/** cat_answer_feed() - parse the next bytes; 0: the connection has ended. Return: the state then. */
enum cat_answer_state cat_answer_feed(struct cat_answer *answer, const char *bytes, size_t length);

/** cat_answer_status() - return the status of the answer, such as 200; 0 before CAT_ANSWER_HEAD ends. */
unsigned int cat_answer_status(const struct cat_answer *answer);

/**
 * cat_answer_error() - write why there is no stream: the status with its text and what the server says about it,
 * or what is wrong with the answer. Return: @error.
 */
const char *cat_answer_error(const struct cat_answer *answer, char error[CAT_ANSWER_ERROR]);

/** cat_answer_free() - free the parser; NULL is allowed. */
void cat_answer_free(struct cat_answer *answer);

#endif
