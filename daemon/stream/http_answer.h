/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers to HTTP clients, as texts: a head, and a body unless it is the feed, which follows from the blocks. The
 * connection ends with each answer, so the feed has no length and no chunks (RFC 9112, 6.3).
 *
 * All functions return NULL without memory.
 */
#ifndef DMACAST_HTTP_ANSWER_H
#define DMACAST_HTTP_ANSWER_H

#include "lib/http_code.h"
#include "lib/shared_bytes.h"
#include "stream/http_request.h"

#include <stdbool.h>
#include <stdint.h>

/** http_answer_feed() - make the head before the feed. @first: its first block */
struct shared_bytes *http_answer_feed(const struct block_name *first);

/** http_answer_info() - answer with the metadata. @head_only: without the body */
struct shared_bytes *http_answer_info(const struct shared_bytes *metadata, bool head_only);

/** http_answer_methods() - answer with the allowed methods, also for another origin. */
struct shared_bytes *http_answer_methods(void);

/**
 * http_answer_error() - answer with the code and the problem of @wish, which is an error.
 * @oldest: block that is there; NULL: the error has nothing to do with that
 */
struct shared_bytes *http_answer_error(const struct http_wish *wish,
				       const struct block_name *oldest);

#endif
