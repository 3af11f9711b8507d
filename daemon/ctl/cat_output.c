// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_output.h"

#include "ctl/cat_name.h"
#include "ctl/cat_pipe.h"
#include "ctl/cat_report.h"
#include "ctl/cat_sigmf.h"
#include "lib/clock.h"

#include <bsd/string.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cat_output {
	const struct cat_output_options *options;
	struct cat_report *report;
	char error[CAT_FILE_ERROR];
	struct cat_pipe *pipe; /* NULL: files */

	/* The open file; NULL: none, the next byte opens one. */
	struct cat_file *file;
	char name[CAT_NAME_BYTES]; /* by the pattern, of this file or the one before */
	uint64_t files;		   /* opened so far */
	uint64_t begun_ns;	   /* time of the first byte in the file, CLOCK_REALTIME */

	/* For --sigmf. */
	struct cat_sigmf *sigmf;
	struct cat_sigmf_format format;
	json_t *metadata;
	bool segment_ends;	/* what follows does not continue what was written */
	uint64_t source_lost;	/* bytes; the position does not count them */
	char gap[CAT_GAP_TEXT]; /* before the first byte of the next file; empty: none */
};

struct cat_output *cat_output_create(const struct cat_output_options *options,
				     struct cat_report *report)
{
	struct cat_output *output = calloc(1, sizeof(*output));

	if (!output)
		return NULL;
	output->options = options;
	output->report = report;
	if (!options->pattern)
		output->pipe = cat_pipe_create();
	if (options->pattern || output->pipe)
		return output;
	free(output);
	return NULL;
}

const char *cat_output_error(const struct cat_output *output)
{
	return output->error;
}

static bool cat_output_fail(struct cat_output *output, const char *name, const char *reason)
{
	snprintf(output->error, sizeof(output->error), "%s: %s", name, reason);
	return false;
}

/* ---- recordings ---- */

static bool cat_format_equals(const struct cat_sigmf_format *a, const struct cat_sigmf_format *b)
{
	return !strcmp(a->datatype, b->datatype) && a->channels == b->channels &&
	       a->sample_rate == b->sample_rate;
}

static bool cat_frequency_equals(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

/* Another frequency begins a segment; another type or rate of samples begins a file. */
static bool cat_output_change_format(struct cat_output *output,
				     const struct cat_sigmf_format *format)
{
	bool done = true;

	if (output->file && !cat_format_equals(&output->format, format))
		done = cat_output_finish(output);
	if (!cat_frequency_equals(output->format.frequency, format->frequency))
		output->segment_ends = true;
	output->format = *format;
	return done;
}

bool cat_output_metadata(struct cat_output *output, json_t *metadata)
{
	struct cat_sigmf_format format;

	json_decref(output->metadata);
	output->metadata = json_incref(metadata);
	if (!output->options->sigmf)
		return true;
	return cat_sigmf_parse(metadata, &format, output->error) &&
	       cat_output_change_format(output, &format);
}

void cat_output_gap(struct cat_output *output, const struct cat_gap *gap)
{
	char text[CAT_GAP_TEXT];

	output->segment_ends = true;
	if (gap->origin == CAT_GAP_SOURCE)
		output->source_lost += gap->bytes;
	cat_gap_format(gap, text);
	if (output->sigmf)
		cat_sigmf_annotate(output->sigmf, cat_file_bytes(output->file), "gap", text);
	else
		strlcpy(output->gap, text, sizeof(output->gap));
}

void cat_output_break(struct cat_output *output)
{
	output->segment_ends = true;
}

static bool cat_output_open_sigmf(struct cat_output *output)
{
	const char *stream = json_string_value(json_object_get(output->metadata, "stream"));
	char path[CAT_NAME_BYTES + sizeof(CAT_SIGMF_META)];

	if (!stream)
		return cat_output_fail(
			output, "--sigmf",
			"the stream is raw, without metadata; expected a framed one");
	snprintf(path, sizeof(path), "%s" CAT_SIGMF_META, output->name);
	output->sigmf = cat_sigmf_open(path, &output->format, stream, output->options->force,
				       output->error);
	if (output->sigmf && output->gap[0])
		cat_sigmf_annotate(output->sigmf, 0, "gap", output->gap);
	output->gap[0] = '\0';
	output->segment_ends = true;
	return output->sigmf;
}

/* Begin a segment if the samples do not continue those before. */
static void cat_output_mark_segment(struct cat_output *output, const struct frame *frame)
{
	if (output->sigmf && output->segment_ends)
		cat_sigmf_capture(output->sigmf, &output->format, cat_file_bytes(output->file),
				  frame->position + output->source_lost, frame->realtime_ns);
	output->segment_ends = false;
}

/* ---- files ---- */

static uint64_t cat_output_time(const struct frame *frame)
{
	return frame ? frame->realtime_ns : clock_ns(CLOCK_REALTIME);
}

static bool cat_output_make_name(struct cat_output *output, const struct frame *frame)
{
	const struct cat_name_values values = {
		.realtime_ns = output->begun_ns,
		.number = output->files + 1,
		.framed = frame,
		.epoch = frame ? frame->epoch : 0,
		.sequence = frame ? frame->sequence : 0,
	};
	char former[CAT_NAME_BYTES];
	const char *reason;

	strlcpy(former, output->name, sizeof(former));
	if (!cat_name_format(output->options->pattern, &values, output->name, &reason))
		return cat_output_fail(output, output->options->pattern, reason);
	if (!strcmp(former, output->name))
		return cat_output_fail(output, former,
				       "the next file would have the same name; add %n to it");
	return true;
}

static bool cat_output_open(struct cat_output *output, const struct frame *frame)
{
	const struct cat_output_options *options = output->options;
	char path[CAT_NAME_BYTES + sizeof(CAT_SIGMF_DATA)];

	output->begun_ns = cat_output_time(frame);
	if (!cat_output_make_name(output, frame) ||
	    (options->sigmf && !cat_output_open_sigmf(output)))
		return false;
	snprintf(path, sizeof(path), "%s%s", output->name, options->sigmf ? CAT_SIGMF_DATA : "");
	output->file = cat_file_open(path, options->force, options->direct, output->error);
	if (output->file) {
		output->files++;
		return true;
	}
	if (output->sigmf)
		cat_sigmf_discard(output->sigmf);
	output->sigmf = NULL;
	return false;
}

/* Return true if the open file may not have this many bytes more. */
static bool cat_output_is_full(const struct cat_output *output, const struct frame *frame,
			       size_t length)
{
	const struct cat_output_options *options = output->options;
	int64_t age_ns = (int64_t)(cat_output_time(frame) - output->begun_ns);

	if (options->rotate_bytes && cat_file_bytes(output->file) + length > options->rotate_bytes)
		return true;
	/* The clock of the server may be set back. */
	return options->rotate_us && (uint64_t)llabs(age_ns) >= options->rotate_us * 1000;
}

/* Return: false on failure. */
static bool cat_output_rotate(struct cat_output *output, const struct frame *frame, size_t length)
{
	if (output->file && cat_output_is_full(output, frame, length) && !cat_output_finish(output))
		return false;
	return output->file || cat_output_open(output, frame);
}

/* Return the number of bytes of a raw stream that fit into one file. */
static size_t cat_output_raw_bytes(const struct cat_output *output, size_t length)
{
	uint64_t limit = output->options->rotate_bytes;
	uint64_t used = output->file ? cat_file_bytes(output->file) : 0;

	if (!limit)
		return length;
	if (used >= limit)
		used = 0;
	return length < limit - used ? length : (size_t)(limit - used);
}

static bool cat_output_write_raw(struct cat_output *output, const unsigned char *bytes,
				 size_t length)
{
	while (length) {
		size_t part = cat_output_raw_bytes(output, length);

		if (!cat_output_rotate(output, NULL, part) ||
		    !cat_file_write(output->file, bytes, part, output->error))
			return false;
		bytes += part;
		length -= part;
	}
	return true;
}

bool cat_output_write(struct cat_output *output, const struct frame *frame,
		      const unsigned char *bytes, size_t length)
{
	if (!length)
		return true;
	if (output->pipe)
		return cat_pipe_append(output->pipe, bytes, length, output->error);
	if (!frame)
		return cat_output_write_raw(output, bytes, length);
	if (!cat_output_rotate(output, frame, length))
		return false;
	cat_output_mark_segment(output, frame);
	return cat_file_write(output->file, bytes, length, output->error);
}

static bool cat_output_take_payload(void *data, const struct frame *frame,
				    const unsigned char *bytes, size_t length)
{
	return cat_output_write(data, frame, bytes, length);
}

static bool cat_output_take_metadata(void *data, const struct frame *frame, json_t *metadata)
{
	(void)frame;
	return cat_output_metadata(data, metadata);
}

static void cat_output_take_gap(void *data, const struct cat_gap *gap, const struct frame *frame)
{
	(void)frame;
	cat_output_gap(data, gap);
}

static void cat_output_take_epoch(void *data)
{
	cat_output_break(data);
}

static const char *cat_output_sink_error(void *data)
{
	return cat_output_error(data);
}

struct cat_sink cat_output_sink(struct cat_output *output)
{
	return (struct cat_sink){
		.data = output,
		.write = cat_output_take_payload,
		.metadata = cat_output_take_metadata,
		.gap = cat_output_take_gap,
		.new_epoch = cat_output_take_epoch,
		.error = cat_output_sink_error,
	};
}

bool cat_output_flush(struct cat_output *output)
{
	if (output->pipe)
		return cat_pipe_flush(output->pipe, output->error);
	return !output->file || cat_file_flush(output->file, output->error);
}

size_t cat_output_pending(const struct cat_output *output)
{
	return output->pipe ? cat_pipe_pending(output->pipe) : 0;
}

int cat_output_fd(const struct cat_output *output)
{
	return cat_pipe_fd(output->pipe);
}

bool cat_output_finish(struct cat_output *output)
{
	bool done = !output->file || cat_file_finish(output->file, output->error);

	if (output->file)
		cat_report_file(output->report, cat_file_path(output->file),
				cat_file_written(output->file));
	if (output->sigmf)
		done = cat_sigmf_save(output->sigmf, cat_file_written(output->file),
				      output->error) &&
		       done;
	cat_file_close(output->file);
	cat_sigmf_close(output->sigmf);
	output->file = NULL;
	output->sigmf = NULL;
	return done;
}

void cat_output_free(struct cat_output *output)
{
	if (!output)
		return;
	cat_pipe_free(output->pipe);
	cat_file_close(output->file);
	cat_sigmf_close(output->sigmf);
	json_decref(output->metadata);
	free(output);
}
