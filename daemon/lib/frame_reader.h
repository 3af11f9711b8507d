/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The headers of the frames of one connection, see dmacast-frame(5): a parser without input or output, which checks
 * each frame by itself. The caller reads: the bytes of a header into frame_reader_space(), the payload wherever it
 * wants it.
 *
 *   header ─ frame_reader_took() says FRAME_READER_PAYLOAD ─▶ payload ─ frame_reader_end_frame() ─▶ header ...
 */
#ifndef DMACAST_FRAME_READER_H
#define DMACAST_FRAME_READER_H

#include "lib/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state;

/* Longest payload of a block: the largest block-size; and of metadata or a preamble. */
#define FRAME_MAX_BLOCK_BYTES (64U << 20)
#define FRAME_MAX_ASIDE_BYTES (1U << 20)

/* Longest header that a later version of the format can have. */
#define FRAME_MAX_HEADER_BYTES 255

#define FRAME_READER_ERROR 160

struct frame_reader {
	unsigned char header[FRAME_MAX_HEADER_BYTES];
	unsigned int header_bytes; /* of the whole header, as far as known */
	unsigned int header_done;
	struct frame frame; /* valid when the first 64 bytes are there */
	uint64_t offset;    /* of the frame, in the connection */
	bool started;	    /* a frame of this connection was complete */
	bool ended;	    /* the frame with END was complete */
	char error[FRAME_READER_ERROR];
};

enum frame_reader_result {
	FRAME_READER_HEADER,  /* more of the header is needed */
	FRAME_READER_PAYLOAD, /* the header is complete, and `frame` is right */
	FRAME_READER_BAD, /* this is no frame; `error` says why, with the place in the connection */
};

/** frame_reader_restart() - begin with the begin of a connection; what is incomplete is dropped. */
void frame_reader_restart(struct frame_reader *reader);

/** frame_reader_space() - return where the next bytes of the header go. @bytes: out: how many of them; 0: none */
unsigned char *frame_reader_space(struct frame_reader *reader, size_t *bytes);

/** frame_reader_took() - note that @bytes were written to frame_reader_space(). */
enum frame_reader_result frame_reader_took(struct frame_reader *reader, size_t bytes);

/** frame_reader_fail() - write an error about the current frame. Return: FRAME_READER_BAD. */
enum frame_reader_result frame_reader_fail(struct frame_reader *reader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** frame_reader_has_header() - return true while the payload is due. */
static inline bool frame_reader_has_header(const struct frame_reader *reader)
{
	return reader->header_done == reader->header_bytes;
}

/** frame_reader_end_frame() - note that the payload is complete: the next bytes are a header. */
void frame_reader_end_frame(struct frame_reader *reader);

/** frame_reader_transfer() - save or restore the object "reader"; see state.h. */
void frame_reader_transfer(struct frame_reader *reader, struct state *state);

#endif
