/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lines - the feed of --lines: each line has its number, and bytes that the number determines.
 */
#ifndef FEEDCLIENT_LINES_H
#define FEEDCLIENT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is known about the lines of one connection. */
struct line_check {
	uint64_t number; /* of the line of the next byte, as far as its digits have come */
	uint64_t next;	 /* number that is expected */
	uint64_t bytes;	 /* checked bytes */
	size_t at;	 /* place of the next byte in its line */
	bool any;	 /* a number has come */
};

/** lines_check() - check bytes of the connection of client number @client. Return: false if they are wrong. */
bool lines_check(struct line_check *check, unsigned int client, const unsigned char *bytes,
		 size_t length);

/** lines_fill() - write the next @length bytes of the feed, from line 0 on. */
void lines_fill(unsigned char *bytes, size_t length);

#endif
