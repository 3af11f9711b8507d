/* SPDX-License-Identifier: BSD-2-Clause */
/* The taker of what a struct cat_receiver finds in the bytes of a stream. */
#ifndef DMACAST_CAT_SINK_H
#define DMACAST_CAT_SINK_H

#include "ctl/cat_gap.h"
#include "lib/frame.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct cat_sink {
	void *data; /* first argument of each function */

	/*
	 * Take payload: a whole block or preamble, of which the end may be missing at a limit of bytes.
	 * @frame: its header; NULL: the stream is raw
	 * Return: false on failure.
	 */
	bool (*write)(void *data, const struct frame *frame, const unsigned char *bytes,
		      size_t length);
	/* Take the metadata; a new reference may be kept. @frame: its header. Return: false on failure. */
	bool (*metadata)(void *data, const struct frame *frame, json_t *metadata);
	/* Bytes are missing before what follows. @frame: the one after the gap; NULL: the stream is raw */
	void (*gap)(void *data, const struct cat_gap *gap, const struct frame *frame);
	/* What follows is another run of the source. */
	void (*new_epoch)(void *data);
	/* Return the reason of the last failure. */
	const char *(*error)(void *data);
};

#endif
