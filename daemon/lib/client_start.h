/* SPDX-License-Identifier: BSD-2-Clause */
/* Where in a stream a client wants to begin, as text and as values: "live", "oldest", "-4M", "-10s", "1a2b3c4d:1234". */
#ifndef DMACAST_CLIENT_START_H
#define DMACAST_CLIENT_START_H

#include <stdbool.h>
#include <stdint.h>

enum client_start_kind {
	CLIENT_START_LIVE,   /* with the next block */
	CLIENT_START_OLDEST, /* with the oldest block */
	CLIENT_START_BYTES,  /* this number of bytes before the end, or a little more */
	CLIENT_START_AGE,    /* with the first block that is not older than this */
	CLIENT_START_AFTER,  /* with the block after this one */
};

/* A block, as clients know it. */
struct block_name {
	uint32_t epoch;
	uint64_t sequence;
};

struct client_start {
	enum client_start_kind kind;
	uint64_t bytes;
	uint64_t microseconds;
	struct block_name after;
};

/* Enough for every text that client_start_format() writes. */
#define CLIENT_START_TEXT 48

/**
 * client_start_parse() - parse a text.
 * @may_resume: accept EPOCH:SEQUENCE, too
 * @expected: out: on failure, what would be right
 *
 * Return: false if it is malformed; then @start stays as it is.
 */
bool client_start_parse(const char *text, bool may_resume, struct client_start *start,
			const char **expected);

/** client_start_format() - write the text, which parses to the same value. Return: @text. */
const char *client_start_format(const struct client_start *start, char text[CLIENT_START_TEXT]);

/** client_start_is_equal() - return true if both are the same place. */
bool client_start_is_equal(const struct client_start *a, const struct client_start *b);

/** block_name_format() - write EPOCH:SEQUENCE. Return: @text. */
const char *block_name_format(const struct block_name *name, char text[CLIENT_START_TEXT]);

#endif
