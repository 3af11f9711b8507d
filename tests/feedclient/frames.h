/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frames - whether the bytes of one connection are frames as dmacast-frame(5) describes them, with the test pattern
 * in their blocks.
 *
 * The offset of a block in the pattern is its position, less that of the first block of its epoch, plus what the
 * source lost since. So a header with a wrong position, or a loss that is not counted exactly, shows as wrong bytes.
 */
#ifndef FEEDCLIENT_FRAMES_H
#define FEEDCLIENT_FRAMES_H

#include "lib/frame.h"
#include "lib/pattern.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAMES_HEADER 64

/* What is known about the frames of one connection. */
struct frames {
	unsigned int client; /* number for messages */
	bool begun;	     /* a frame has come */
	bool had_preamble;
	bool ended; /* the frame with END has come */
	unsigned char header[FRAMES_HEADER];
	size_t header_length;
	struct frame now;
	uint32_t payload_done;
	/* What must follow. */
	uint64_t sequence, position;
	uint64_t monotonic_ns; /* or later */
	uint32_t epoch;	       /* of the last block; 0: none has come */
	/* The pattern. */
	bool located;
	bool noted;			   /* the offset of the first block is in the tally */
	bool lossy;			   /* the source has lost data */
	uint64_t base;			   /* position of its offset 0 */
	unsigned char first[PATTERN_WORD]; /* of the payload, to find the offset */
};

/** frames_begin() - begin a connection of this client. */
void frames_begin(struct frames *frames, unsigned int client);

/** frames_received() - check @length bytes. Return: false if they are wrong. */
bool frames_received(struct frames *frames, const unsigned char *bytes, size_t length);

/** frames_finish() - no bytes follow. @in_order: the server ended the connection. Return: false if that is wrong. */
bool frames_finish(const struct frames *frames, bool in_order);

#endif
