// SPDX-License-Identifier: BSD-2-Clause
#include "config/config_check.h"

#include "lib/endpoint.h"
#include "lib/input.h"
#include "lib/log.h"
#include "lib/pattern.h"
#include "lib/units.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define MIN_BLOCKS 4

static unsigned int check_ring_size(const struct stream_settings *stream, const char *where)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t blocks = stream_settings_blocks(stream);
	char size[UNITS_TEXT], block[UNITS_TEXT], need[UNITS_TEXT];
	unsigned int errors = 0;

	units_format_size(stream->ring_size, size);
	units_format_size(stream->block_size, block);
	if (stream->block_size % page) {
		log_error("%s block-size = %s: expected a multiple of the page size, %" PRIu64,
			  where, block, page);
		errors++;
	}
	if (blocks < MIN_BLOCKS) {
		log_error("%s ring-size = %s: holds %" PRIu64
			  " blocks of block-size = %s; expected "
			  "at least %s, or smaller blocks",
			  where, size, blocks, block,
			  units_format_size(MIN_BLOCKS * stream->block_size, need));
		errors++;
	} else if (stream_settings_low_water(stream) > blocks / 2) {
		log_error("%s low-water = %" PRIu64 ": expected at most half of the ring's %" PRIu64
			  " blocks",
			  where, stream->low_water, blocks);
		errors++;
	}
	return errors;
}

/* Check the options that only a device has, or only other sources. */
static unsigned int check_device(const struct stream_settings *stream, const char *where)
{
	unsigned int errors = 0;

	if (stream->device && stream->huge_pages == HUGE_PAGES_REQUIRE) {
		log_error("%s huge-pages = require: expected no device; the kernel allocates its "
			  "ring",
			  where);
		errors++;
	}
	if (!stream->device && stream->overrun != OVERRUN_DROP_OLDEST) {
		log_error("%s overrun = stall: expected a device; other sources wait when the ring "
			  "is full",
			  where);
		errors++;
	}
	if (!stream->device && stream->contiguous) {
		log_error("%s contiguous = yes: expected a device", where);
		errors++;
	}
	return errors;
}

static unsigned int check_source(const struct stream_settings *stream, const char *where)
{
	int sources = !!stream->input + !!stream->pattern + !!stream->device;
	struct input input;
	const char *expected;

	if (!sources) {
		log_error("%s: no source; expected input, pattern or device", where);
		return 1;
	}
	if (sources > 1) {
		log_error("%s: %s sources; expected either input, pattern or device", where,
			  sources == 2 ? "two" : "three");
		return 1;
	}
	if (stream->loop && (!stream->input || !input_parse(stream->input, &input, &expected) ||
			     (input.kind != INPUT_PATH && input.kind != INPUT_STDIN))) {
		log_error("%s loop = yes: expected an input that is a regular file", where);
		return 1;
	}
	if (stream->baud && (!stream->input || !input_parse(stream->input, &input, &expected) ||
			     input.kind != INPUT_PATH)) {
		log_error("%s baud = %" PRIu64 ": expected an input that is the path of a terminal",
			  where, stream->baud);
		return 1;
	}
	if (stream->input_timeout && !stream->input) {
		log_error("%s input-timeout: expected an input as the source", where);
		return 1;
	}
	if (stream->on_end == ON_END_WAIT && !stream->device &&
	    (!stream->input || !strcmp(stream->input, "-"))) {
		log_error("%s on-end = wait: expected an input that can be opened again", where);
		return 1;
	}
	if (stream->pattern_form != PATTERN_OFFSETS && !stream->pattern) {
		log_error("%s pattern-form: expected a pattern as the source", where);
		return 1;
	}
	return check_device(stream, where);
}

static unsigned int check_stream_settings(const struct stream_settings *stream, const char *origin)
{
	unsigned int errors = 0;
	char where[512];

	snprintf(where, sizeof(where), "%s: [stream %s]", origin, stream->name);
	errors += check_source(stream, where);
	errors += check_ring_size(stream, where);
	if (!stream->listen.count) {
		log_error("%s: clients cannot connect; expected at least one listen = HOST:PORT",
			  where);
		errors++;
	}
	if (stream->hold > stream->client.max_clients) {
		log_error("%s hold = %" PRIu64 ": expected at most max-clients, %" PRIu64, where,
			  stream->hold, stream->client.max_clients);
		errors++;
	}
	return errors;
}

/*
 * Return the stream before stream @number, or itself, that already has its endpoint @index; or NULL.
 * @taken: out: the endpoint there
 */
static const struct stream_settings *earlier_user(const struct config *config, size_t number,
						  size_t index, const char **taken)
{
	const char *endpoint = config->streams[number].listen.item[index];

	for (size_t s = 0; s <= number; s++) {
		const struct text_list *listen = &config->streams[s].listen;

		for (size_t i = 0; i < (s == number ? index : listen->count); i++) {
			*taken = listen->item[i];
			if (endpoint_conflicts(endpoint, *taken))
				return &config->streams[s];
		}
	}
	return NULL;
}

/* An endpoint that is used twice would fail later, with a less clear message. */
static unsigned int check_endpoints(const struct config *config, const char *origin)
{
	unsigned int errors = 0;

	for (size_t s = 0; s < config->stream_count; s++) {
		const struct stream_settings *stream = &config->streams[s];

		for (size_t i = 0; i < stream->listen.count; i++) {
			const char *taken;
			const struct stream_settings *user = earlier_user(config, s, i, &taken);

			if (!user)
				continue;
			log_error("%s: [stream %s] listen = %s: taken by [stream %s], listen = %s; "
				  "expected another address or port",
				  origin, stream->name, stream->listen.item[i], user->name, taken);
			errors++;
		}
	}
	return errors;
}

/* Return an earlier stream with the same source, where only one stream can have it; or NULL. */
static const struct stream_settings *earlier_user_of_source(const struct config *config,
							    size_t number)
{
	const struct stream_settings *stream = &config->streams[number];

	for (size_t i = 0; i < number; i++) {
		const struct stream_settings *other = &config->streams[i];

		if (stream->input && !strcmp(stream->input, "-") && other->input &&
		    !strcmp(other->input, "-"))
			return other;
		if (stream->device && other->device && !strcmp(stream->device, other->device))
			return other;
	}
	return NULL;
}

bool config_check(const struct config *config, const char *origin)
{
	unsigned int errors = 0;

	if (!config->stream_count) {
		log_error("%s: no stream; expected at least one [stream NAME]", origin);
		return false;
	}
	for (size_t i = 0; i < config->stream_count; i++) {
		const struct stream_settings *stream = &config->streams[i], *earlier;

		errors += check_stream_settings(stream, origin);
		earlier = earlier_user_of_source(config, i);
		if (!earlier)
			continue;
		if (stream->device)
			log_error("%s: [stream %s] device = %s: taken by [stream %s]; expected one "
				  "stream for each device",
				  origin, stream->name, stream->device, earlier->name);
		else
			log_error("%s: [stream %s] input = -: taken by [stream %s]; expected one "
				  "stream on standard input",
				  origin, stream->name, earlier->name);
		errors++;
	}
	errors += check_endpoints(config, origin);
	return errors == 0;
}
