/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check - whether the bytes of one connection are the test pattern, and where the stream has gaps.
 */
#ifndef FEEDCLIENT_CHECK_H
#define FEEDCLIENT_CHECK_H

#include "lib/pattern.h"
#include "lines.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two words determine a stream offset without doubt. */
#define LOCATE_BYTES (2 * PATTERN_WORD)

/*
 * A jump of the stream shows at the first wrong byte, but the bytes on both sides of it may be
 * equal for a while: the jump itself can be this many bytes before the first wrong one.
 */
#define HISTORY_BYTES 16

/* History, and the fewer than LOCATE_BYTES that cannot be judged before more arrive. */
#define CARRY_BYTES (HISTORY_BYTES + LOCATE_BYTES)

/* What is known about the stream on one connection. */
struct check {
	unsigned int client; /* number for messages */
	bool located;
	uint64_t expected; /* stream offset of the next byte to check */
	uint64_t position; /* the same byte, counted from the connection's first one */
	size_t carry_checked;
	size_t carry_length;
	unsigned char carry[CARRY_BYTES];
	struct line_check lines; /* of --lines, instead of the pattern */
};

/* Where new data is received; before it is room for the carried bytes. */
extern unsigned char *const check_buffer;

/** check_begin() - begin a connection of this client. */
void check_begin(struct check *check, unsigned int client);

/** check_received() - check @length bytes of check_buffer.
 * @last: no bytes follow
 * Return: false if they are wrong.
 */
bool check_received(struct check *check, size_t length, bool last);

/** check_finish() - check what was left undecided; no bytes follow. Return: false if it is wrong. */
bool check_finish(struct check *check);

#endif
