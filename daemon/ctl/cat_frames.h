/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames from the bytes of a connection, see dmacast-frame(5): a parser without input or output. It checks each
 * frame by itself; continuity checks that a frame continues the one before.
 */
#ifndef DMACAST_CAT_FRAMES_H
#define DMACAST_CAT_FRAMES_H

#include "lib/frame_reader.h"

#include <stddef.h>
#include <stdint.h>

struct cat_frames;

struct cat_frame {
	struct frame header;
	const unsigned char *payload; /* until the next call of cat_frames_next() */
};

enum cat_frames_result {
	CAT_FRAMES_MORE,  /* all bytes are used; the frame continues in the next ones */
	CAT_FRAMES_FRAME, /* a frame is complete */
	CAT_FRAMES_BAD,	  /* the bytes are no frame; cat_frames_error() says why */
};

/** cat_frames_create() - return a parser at the begin of a connection; NULL without memory. */
struct cat_frames *cat_frames_create(void);

/** cat_frames_restart() - continue with the begin of another connection; what is incomplete is dropped. */
void cat_frames_restart(struct cat_frames *frames);

/**
 * cat_frames_next() - take bytes up to the end of a frame.
 * @bytes, @length: in and out: what is not used yet
 * @frame: out: for CAT_FRAMES_FRAME
 *
 * After CAT_FRAMES_BAD only cat_frames_restart() and cat_frames_free() may follow.
 */
enum cat_frames_result cat_frames_next(struct cat_frames *frames, const unsigned char **bytes,
				       size_t *length, struct cat_frame *frame);

/** cat_frames_error() - return the reason of CAT_FRAMES_BAD, with the place in the connection. */
const char *cat_frames_error(const struct cat_frames *frames);

/** cat_frames_incomplete() - return the number of bytes of a frame that is not complete, with its header. */
size_t cat_frames_incomplete(const struct cat_frames *frames);

/** cat_frames_ended() - return true if the frame with END was there. */
bool cat_frames_ended(const struct cat_frames *frames);

/** cat_frames_free() - free the parser; NULL is allowed. */
void cat_frames_free(struct cat_frames *frames);

#endif
