// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_sigmf.h"

#include "lib/interrupted.h"
#include "lib/timestamp.h"
#include "lib/units.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIGMF_VERSION "1.2.2"
#define MAX_CHANNELS 1000
/* Limits of the schema, for sample_rate and frequency. */
#define MAX_HERTZ 1e12

/* More than the text of the file has without captures and annotations, and than each of these has. */
#define GLOBAL_BYTES 16384
#define ITEM_BYTES 512

struct cat_sigmf {
	char *path;
	int fd;
	size_t sample_bytes;
	json_t *root;	 /* the content of the file */
	size_t reserved; /* bytes of disk space for it */
	bool incomplete; /* no memory for a part of it */
};

/* ---- the samples ---- */

static const struct {
	const char *name;
	size_t bytes;
} cat_sample_types[] = {
	{ "f32", 4 }, { "f64", 8 }, { "i32", 4 }, { "i16", 2 },
	{ "u32", 4 }, { "u16", 2 }, { "i8", 1 },  { "u8", 1 },
};

static size_t cat_sample_type_bytes(const char *type, size_t length)
{
	for (size_t i = 0; i < sizeof(cat_sample_types) / sizeof(cat_sample_types[0]); i++) {
		if (length == strlen(cat_sample_types[i].name) &&
		    !memcmp(type, cat_sample_types[i].name, length))
			return cat_sample_types[i].bytes;
	}
	return 0;
}

/* Return the bytes of one sample, such as 4 of "ci16_le"; 0 if SigMF does not have this type. */
static size_t cat_datatype_bytes(const char *datatype)
{
	const char *order = strchr(datatype, '_');
	size_t length = order ? (size_t)(order - datatype) : strlen(datatype);
	size_t bytes;

	if (!length || (*datatype != 'c' && *datatype != 'r'))
		return 0;
	bytes = cat_sample_type_bytes(datatype + 1, length - 1);
	/* The order of bytes is needed exactly where there are several. */
	if (order ? strcmp(order, "_le") && strcmp(order, "_be") : bytes > 1)
		return 0;
	return *datatype == 'c' ? 2 * bytes : bytes;
}

static const char *cat_meta_text(const json_t *metadata, const char *key)
{
	return json_string_value(json_object_get(json_object_get(metadata, "meta"), key));
}

/* Parse a number from @minimum to MAX_HERTZ. Return: false with @error; true without the key, too. */
static bool cat_meta_hertz(const json_t *metadata, const char *key, double minimum, double *number,
			   char error[CAT_FILE_ERROR])
{
	const char *text = cat_meta_text(metadata, key);
	double value;
	char *end;

	if (!text)
		return true;
	value = strtod(text, &end);
	if (end == text || *end || !(value >= minimum && value <= MAX_HERTZ)) {
		snprintf(error, CAT_FILE_ERROR,
			 "--sigmf: meta.%s = %s of the stream: expected a number in Hz, from %g to "
			 "%g",
			 key, text, minimum, MAX_HERTZ);
		return false;
	}
	*number = value;
	return true;
}

static bool cat_sigmf_parse_datatype(const json_t *metadata, struct cat_sigmf_format *format,
				     char error[CAT_FILE_ERROR])
{
	const char *datatype = cat_meta_text(metadata, "datatype");

	format->sample_bytes = datatype ? cat_datatype_bytes(datatype) : 0;
	if (!format->sample_bytes) {
		snprintf(error, CAT_FILE_ERROR,
			 "--sigmf: the stream has %s%s; expected a type of SigMF, such as "
			 "meta.datatype = ci16_le in the configuration of dmacastd",
			 datatype ? "meta.datatype = " : "no meta.datatype",
			 datatype ? datatype : "");
		return false;
	}
	strlcpy(format->datatype, datatype, sizeof(format->datatype));
	return true;
}

static bool cat_sigmf_parse_channels(const json_t *metadata, struct cat_sigmf_format *format,
				     char error[CAT_FILE_ERROR])
{
	const char *channels = cat_meta_text(metadata, "num_channels");

	format->channels = 1;
	if (channels && (!units_parse_count(channels, &format->channels) || !format->channels ||
			 format->channels > MAX_CHANNELS)) {
		snprintf(error, CAT_FILE_ERROR,
			 "--sigmf: meta.num_channels = %s of the stream: expected a number from 1 "
			 "to %d",
			 channels, MAX_CHANNELS);
		return false;
	}
	format->sample_bytes *= format->channels;
	return true;
}

bool cat_sigmf_parse(const json_t *metadata, struct cat_sigmf_format *format,
		     char error[CAT_FILE_ERROR])
{
	double rate = json_number_value(json_object_get(metadata, "rate"));

	*format = (struct cat_sigmf_format){ .frequency = NAN };
	if (!cat_sigmf_parse_datatype(metadata, format, error) ||
	    !cat_sigmf_parse_channels(metadata, format, error))
		return false;
	rate /= (double)format->sample_bytes;
	format->sample_rate = rate >= 1 && rate <= MAX_HERTZ ? rate : 0;
	return cat_meta_hertz(metadata, "sample_rate", 1, &format->sample_rate, error) &&
	       cat_meta_hertz(metadata, "frequency", -MAX_HERTZ, &format->frequency, error);
}

/* ---- the file ---- */

static bool cat_sigmf_fail(const struct cat_sigmf *sigmf, const char *reason,
			   char error[CAT_FILE_ERROR])
{
	snprintf(error, CAT_FILE_ERROR, "%s: %s", sigmf->path, reason);
	return false;
}

static json_t *cat_sigmf_global(const struct cat_sigmf_format *format, const char *description)
{
	json_t *global = json_pack("{s:s, s:s, s:s, s:s}", "core:datatype", format->datatype,
				   "core:version", SIGMF_VERSION, "core:recorder",
				   "dmacastctl " DMACAST_VERSION, "core:description", description);

	if (global && format->channels > 1)
		json_object_set_new(global, "core:num_channels",
				    json_integer((json_int_t)format->channels));
	if (global && format->sample_rate > 0)
		json_object_set_new(global, "core:sample_rate", json_real(format->sample_rate));
	return global;
}

/*
 * Keep disk space for the text, so that the samples cannot fill the disk before it is written; not every file system
 * can. Return: false with errno if there is no space.
 */
static bool cat_sigmf_reserve(struct cat_sigmf *sigmf)
{
	size_t items = json_array_size(json_object_get(sigmf->root, "captures")) +
		       json_array_size(json_object_get(sigmf->root, "annotations"));
	size_t needed = GLOBAL_BYTES + items * ITEM_BYTES;

	if (needed <= sigmf->reserved)
		return true;
	/* Twice as much, so that this is seldom. */
	if (fallocate(sigmf->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)(2 * needed)) && errno == ENOSPC)
		return false;
	sigmf->reserved = 2 * needed;
	return true;
}

static bool cat_sigmf_create_file(struct cat_sigmf *sigmf, bool force, char error[CAT_FILE_ERROR])
{
	sigmf->fd = REPEAT_INTERRUPTED(open(
		sigmf->path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0666));
	if (sigmf->fd >= 0 && cat_sigmf_reserve(sigmf))
		return true;
	cat_sigmf_fail(sigmf, strerror(errno), error);
	if (sigmf->fd >= 0)
		unlink(sigmf->path);
	return false;
}

struct cat_sigmf *cat_sigmf_open(const char *path, const struct cat_sigmf_format *format,
				 const char *description, bool force, char error[CAT_FILE_ERROR])
{
	struct cat_sigmf *sigmf = calloc(1, sizeof(*sigmf));

	snprintf(error, CAT_FILE_ERROR, "%s: no memory", path);
	if (!sigmf)
		return NULL;
	sigmf->fd = -1;
	sigmf->sample_bytes = format->sample_bytes;
	sigmf->path = strdup(path);
	sigmf->root = json_pack("{s:o, s:[], s:[]}", "global",
				cat_sigmf_global(format, description), "captures", "annotations");
	if (sigmf->path && sigmf->root && cat_sigmf_create_file(sigmf, force, error))
		return sigmf;
	cat_sigmf_close(sigmf);
	return NULL;
}

/* Append to an array of the root. @item: taken over; NULL: without memory */
static void cat_sigmf_append(struct cat_sigmf *sigmf, const char *name, json_t *item)
{
	if (!item || json_array_append_new(json_object_get(sigmf->root, name), item))
		sigmf->incomplete = true;
	/* On a full disk this fails, and writing the samples says so. */
	cat_sigmf_reserve(sigmf);
}

/* Two segments cannot begin at the same sample: the later one is right. */
static void cat_sigmf_drop_empty(struct cat_sigmf *sigmf, json_int_t sample)
{
	json_t *captures = json_object_get(sigmf->root, "captures");
	size_t count = json_array_size(captures);
	const json_t *last = count ? json_array_get(captures, count - 1) : NULL;

	if (last && json_integer_value(json_object_get(last, "core:sample_start")) == sample)
		json_array_remove(captures, count - 1);
}

void cat_sigmf_capture(struct cat_sigmf *sigmf, const struct cat_sigmf_format *format,
		       uint64_t file_bytes, uint64_t stream_bytes, uint64_t realtime_ns)
{
	json_int_t sample = (json_int_t)(file_bytes / sigmf->sample_bytes);
	char datetime[TIMESTAMP_TEXT];
	json_t *capture =
		json_pack("{s:I, s:I, s:s}", "core:sample_start", sample, "core:global_index",
			  (json_int_t)(stream_bytes / sigmf->sample_bytes), "core:datetime",
			  timestamp_format(realtime_ns, datetime));

	if (capture && !isnan(format->frequency))
		json_object_set_new(capture, "core:frequency", json_real(format->frequency));
	cat_sigmf_drop_empty(sigmf, sample);
	cat_sigmf_append(sigmf, "captures", capture);
}

void cat_sigmf_annotate(struct cat_sigmf *sigmf, uint64_t file_bytes, const char *label,
			const char *comment)
{
	json_int_t sample = (json_int_t)(file_bytes / sigmf->sample_bytes);

	cat_sigmf_append(sigmf, "annotations",
			 json_pack("{s:I, s:I, s:s, s:s, s:s}", "core:sample_start", sample,
				   "core:sample_count", (json_int_t)0, "core:label", label,
				   "core:comment", comment, "core:generator", "dmacastctl"));
}

/* Remove the items behind @sample. */
static void cat_sigmf_cut(struct cat_sigmf *sigmf, const char *name, json_int_t sample)
{
	json_t *items = json_object_get(sigmf->root, name);

	for (size_t i = json_array_size(items); i > 0; i--) {
		const json_t *item = json_array_get(items, i - 1);

		if (json_integer_value(json_object_get(item, "core:sample_start")) <= sample)
			break;
		json_array_remove(items, i - 1);
	}
}

static bool cat_sigmf_write(struct cat_sigmf *sigmf, const char *text, char error[CAT_FILE_ERROR])
{
	size_t length = strlen(text), done = 0;
	ssize_t written;

	while (done < length) {
		written = REPEAT_INTERRUPTED(
			pwrite(sigmf->fd, text + done, length - done, (off_t)done));
		if (written < 0)
			return cat_sigmf_fail(sigmf, strerror(errno), error);
		done += (size_t)written;
	}
	if (REPEAT_INTERRUPTED(ftruncate(sigmf->fd, (off_t)length)) ||
	    REPEAT_INTERRUPTED(fsync(sigmf->fd)))
		return cat_sigmf_fail(sigmf, strerror(errno), error);
	return true;
}

bool cat_sigmf_save(struct cat_sigmf *sigmf, uint64_t file_bytes, char error[CAT_FILE_ERROR])
{
	json_int_t samples = (json_int_t)(file_bytes / sigmf->sample_bytes);
	char *text;
	bool done;

	/* A capture has at least one sample. */
	cat_sigmf_cut(sigmf, "captures", samples ? samples - 1 : 0);
	cat_sigmf_cut(sigmf, "annotations", samples);
	text = json_dumps(sigmf->root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	if (!text || sigmf->incomplete) {
		free(text);
		return cat_sigmf_fail(sigmf, "no memory", error);
	}
	done = cat_sigmf_write(sigmf, text, error);
	free(text);
	return done;
}

void cat_sigmf_discard(struct cat_sigmf *sigmf)
{
	unlink(sigmf->path);
	cat_sigmf_close(sigmf);
}

void cat_sigmf_close(struct cat_sigmf *sigmf)
{
	if (!sigmf)
		return;
	if (sigmf->fd >= 0)
		close(sigmf->fd);
	json_decref(sigmf->root);
	free(sigmf->path);
	free(sigmf);
}
