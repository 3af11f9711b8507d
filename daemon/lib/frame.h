/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frames of `format = framed`: a header of 64 bytes, little-endian, and a payload. Each block is a frame;
 * metadata, the preamble and the end of the stream are frames, too. Described byte by byte in dmacast-frame(5).
 */
#ifndef DMACAST_FRAME_H
#define DMACAST_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 64U

enum frame_flag {
	FRAME_LOSS = 1,	     /* the source lost data just before this block */
	FRAME_SHORT = 2,     /* the payload is shorter than block-size */
	FRAME_END = 4,	     /* end of the stream for this client; no payload */
	FRAME_METADATA = 8,  /* the payload is JSON, and no part of the stream */
	FRAME_START = 16,    /* first block of an epoch */
	FRAME_PREAMBLE = 32, /* the payload is the preamble, which comes before the next block */
};

/* The fields of a header. */
struct frame {
	uint16_t flags;	       /* enum frame_flag */
	uint32_t length;       /* bytes of payload */
	uint32_t epoch;	       /* number of this run of the source, random, not 0 */
	uint64_t sequence;     /* of this block, or of the next one */
	uint64_t position;     /* bytes of the stream before this block, or before the next one */
	uint64_t realtime_ns;  /* CLOCK_REALTIME of capture */
	uint64_t monotonic_ns; /* CLOCK_MONOTONIC of capture */
	uint64_t lost_bytes;   /* lost at the source just before this block */
	uint32_t lost_blocks;
};

/* Flags of the frames that have a place in the stream but are no block. */
#define FRAME_KINDS (FRAME_END | FRAME_METADATA | FRAME_PREAMBLE)

/** frame_is_block() - return true if the payload is a block of the stream. */
static inline bool frame_is_block(const struct frame *frame)
{
	return !(frame->flags & FRAME_KINDS);
}

/* What is wrong with a header. */
enum frame_fault { FRAME_IS_VALID, FRAME_BAD_MAGIC, FRAME_BAD_VERSION, FRAME_BAD_HEADER_LENGTH };

/** frame_encode() - write the header of @frame. */
void frame_encode(const struct frame *frame, unsigned char header[FRAME_HEADER_BYTES]);

/** frame_epoch() - return the epoch in a header. */
uint32_t frame_epoch(const unsigned char header[FRAME_HEADER_BYTES]);

/**
 * frame_parse() - read the header of a frame.
 * @frame: out: its fields, with flags that this version does not know
 * @header_bytes: out: length of the whole header, at least FRAME_HEADER_BYTES
 */
enum frame_fault frame_parse(const unsigned char header[FRAME_HEADER_BYTES], struct frame *frame,
			     unsigned int *header_bytes);

/** frame_begins() - return true if @length bytes at @bytes may be the begin of a frame: its magic and version. */
bool frame_begins(const unsigned char *bytes, size_t length);

/** frame_new_epoch() - return a random number that is neither 0 nor @former. */
uint32_t frame_new_epoch(uint32_t former);

#endif
