/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the payload goes: to standard output, or to files that are named by a pattern and rotated. */
#ifndef DMACAST_CAT_OUTPUT_H
#define DMACAST_CAT_OUTPUT_H

#include "ctl/cat_file.h"
#include "ctl/cat_gap.h"
#include "ctl/cat_sink.h"
#include "lib/frame.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cat_output;
struct cat_report;

struct cat_output_options {
	const char *pattern;   /* names of files, see cat_name.h; NULL: standard output */
	bool force;	       /* replace files that exist */
	bool direct;	       /* O_DIRECT */
	bool sigmf;	       /* recordings of two files each */
	uint64_t rotate_bytes; /* size of a file; 0: any */
	uint64_t rotate_us;    /* time in a file; 0: any */
};

/** cat_output_create() - return an output; NULL without memory. @options, @report: must outlive it */
struct cat_output *cat_output_create(const struct cat_output_options *options,
				     struct cat_report *report);

/** cat_output_sink() - return a sink that writes to the output. @output: must outlive it */
struct cat_sink cat_output_sink(struct cat_output *output);

/** cat_output_error() - return the reason of the last failure. */
const char *cat_output_error(const struct cat_output *output);

/** cat_output_metadata() - note the metadata of the stream; a new reference is kept. Return: false on failure. */
bool cat_output_metadata(struct cat_output *output, json_t *metadata);

/** cat_output_gap() - note that bytes are missing between what was written and what follows. */
void cat_output_gap(struct cat_output *output, const struct cat_gap *gap);

/** cat_output_break() - note that what follows is another run of the source. */
void cat_output_break(struct cat_output *output);

/**
 * cat_output_write() - write payload. A file is never larger than rotate_bytes, except for a single block.
 * @frame: the block, of which the bytes are the payload or its begin; NULL: the stream is raw
 *
 * Return: false on failure.
 */
bool cat_output_write(struct cat_output *output, const struct frame *frame,
		      const unsigned char *bytes, size_t length);

/** cat_output_flush() - write what is kept, as far as that is possible without waiting. Return: false on failure. */
bool cat_output_flush(struct cat_output *output);

/** cat_output_pending() - return the number of bytes that wait for standard output. */
size_t cat_output_pending(const struct cat_output *output);

/** cat_output_fd() - return the descriptor that pending bytes wait for, with POLLOUT. */
int cat_output_fd(const struct cat_output *output);

/** cat_output_finish() - complete the open file, on the disk, too. Return: false on failure. */
bool cat_output_finish(struct cat_output *output);

/** cat_output_free() - free; NULL is allowed. */
void cat_output_free(struct cat_output *output);

#endif
