/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The metadata file of a recording, by the Signal Metadata Format (SigMF): what the samples are, where in the
 * stream they are from, and the gaps.
 */
#ifndef DMACAST_CAT_SIGMF_H
#define DMACAST_CAT_SIGMF_H

#include "ctl/cat_file.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cat_sigmf;

/* Suffixes of the two files of a recording. */
#define CAT_SIGMF_DATA ".sigmf-data"
#define CAT_SIGMF_META ".sigmf-meta"

/* What the metadata of a stream says about its samples. */
struct cat_sigmf_format {
	char datatype[16];
	uint64_t channels;
	size_t sample_bytes; /* of all channels together */
	double sample_rate;  /* per second; 0: unknown */
	double frequency;    /* Hz; NAN: unknown */
};

/**
 * cat_sigmf_parse() - read the format of the samples from the metadata of a stream.
 * @error: out: on failure, what is missing or wrong
 */
bool cat_sigmf_parse(const json_t *metadata, struct cat_sigmf_format *format,
		     char error[CAT_FILE_ERROR]);

/**
 * cat_sigmf_open() - create the metadata file of one data file.
 * @path: name with its suffix
 * @description: of the recording
 * @force: replace a file that exists
 * @error: out: on failure, the reason
 */
struct cat_sigmf *cat_sigmf_open(const char *path, const struct cat_sigmf_format *format,
				 const char *description, bool force, char error[CAT_FILE_ERROR]);

/**
 * cat_sigmf_capture() - add a segment: from here on, samples follow each other without a gap.
 * @file_bytes: bytes in the data file before it
 * @stream_bytes: bytes in the stream before it
 * @realtime_ns: time of its first sample, since 1970
 */
void cat_sigmf_capture(struct cat_sigmf *sigmf, const struct cat_sigmf_format *format,
		       uint64_t file_bytes, uint64_t stream_bytes, uint64_t realtime_ns);

/** cat_sigmf_annotate() - add an annotation of a place between two samples. */
void cat_sigmf_annotate(struct cat_sigmf *sigmf, uint64_t file_bytes, const char *label,
			const char *comment);

/**
 * cat_sigmf_save() - write the file, without captures and annotations behind the samples that were written.
 * @file_bytes: size of the data file
 * @error: out: on failure, the reason, which includes a lack of memory in a call before
 *
 * A full disk is no reason, since the space is reserved.
 */
bool cat_sigmf_save(struct cat_sigmf *sigmf, uint64_t file_bytes, char error[CAT_FILE_ERROR]);

/** cat_sigmf_discard() - remove the file, and free. */
void cat_sigmf_discard(struct cat_sigmf *sigmf);

/** cat_sigmf_close() - close and free; NULL is allowed. */
void cat_sigmf_close(struct cat_sigmf *sigmf);

#endif
