// SPDX-License-Identifier: BSD-2-Clause
#include "config/config_check.h"

#include "config/option_table.h"
#include "lib/endpoint.h"
#include "lib/input.h"
#include "lib/log.h"
#include "lib/pattern.h"
#include "lib/units.h"

#include <bsd/string.h>
#include <inttypes.h>
#include <linux/major.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MIN_BLOCKS 4

/* All metadata of a stream together: clients get it at once, beside what their sockets have. */
#define MAX_META_BYTES ((size_t)64 << 10)

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

/* What is kept gives way at the low-water mark, so the ring never keeps more than the rest. */
static unsigned int check_retain(const struct stream_settings *stream, const char *where)
{
	uint64_t low_water = stream_settings_low_water(stream) * stream->block_size;
	char retain[UNITS_TEXT], most[UNITS_TEXT], size[UNITS_TEXT], low[UNITS_TEXT];

	if (!stream->retain.bytes || low_water > stream->ring_size ||
	    stream->retain.bytes <= stream->ring_size - low_water)
		return 0;
	log_error("%s retain = %s: expected at most %s, which is ring-size = %s without the %s "
		  "of low-water; lower retain, or raise ring-size",
		  where, units_format_size(stream->retain.bytes, retain),
		  units_format_size(stream->ring_size - low_water, most),
		  units_format_size(stream->ring_size, size), units_format_size(low_water, low));
	return 1;
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

/* Return: NULL, or what an option that is set contradicts a relay, and why. */
static const char *check_relay_option(const struct stream_settings *stream)
{
	if (stream->on_demand)
		return "on-demand = yes: a relay follows its origin all the time; expected "
		       "on-demand = no";
	if (stream_settings_has_records(stream))
		return "record-size, record-end: the origin has cut the records; expected neither";
	if (stream->meta.count)
		return "meta: the metadata is that of the origin; expected no such line";
	if (stream->preamble.bytes || stream->preamble.path)
		return "preamble: it comes from the origin; expected no such line";
	return NULL;
}

static unsigned int check_origin(const char *text, const char *where)
{
	struct input input;
	const char *expected;

	if (input_parse(text, &input, &expected) &&
	    (input_connects(input.kind) || input.kind == INPUT_EXEC))
		return 0;
	log_error("%s input = %s: cannot be asked for frames; expected tcp://HOST:PORT, "
		  "http://HOST:PORT/PATH, unix:PATH or exec:COMMAND, or input-format = raw",
		  where, text);
	return 1;
}

static unsigned int check_input_format(const struct stream_settings *stream, const char *where)
{
	unsigned int errors = 0;
	const char *wrong;

	if (stream->input_format == INPUT_RAW) {
		if (!stream->input.others.count)
			return 0;
		log_error("%s input = %s: a second input; expected one, or input-format = framed "
			  "for several origins of the same blocks",
			  where, stream->input.others.item[0]);
		return 1;
	}
	if (!stream->input.first) {
		log_error("%s input-format = framed: expected an input as the source", where);
		return 1;
	}
	for (size_t i = 0; i < stream_settings_inputs(stream); i++)
		errors += check_origin(stream_settings_input(stream, i), where);
	wrong = check_relay_option(stream);
	if (wrong)
		log_error("%s %s, or input-format = raw", where, wrong);
	return errors + (wrong != NULL);
}

static unsigned int check_source(const struct stream_settings *stream, const char *where)
{
	int sources = !!stream->input.first + !!stream->pattern + !!stream->device;
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
	if (stream->loop &&
	    (!stream->input.first || !input_parse(stream->input.first, &input, &expected) ||
	     (input.kind != INPUT_PATH && input.kind != INPUT_STDIN))) {
		log_error("%s loop = yes: expected an input that is a regular file", where);
		return 1;
	}
	if (stream->baud &&
	    (!stream->input.first || !input_parse(stream->input.first, &input, &expected) ||
	     input.kind != INPUT_PATH)) {
		log_error("%s baud = %" PRIu64 ": expected an input that is the path of a terminal",
			  where, stream->baud);
		return 1;
	}
	if (stream->input_timeout && !stream->input.first) {
		log_error("%s input-timeout: expected an input as the source", where);
		return 1;
	}
	if (stream->on_end == ON_END_WAIT && !stream->device &&
	    (!stream->input.first || !strcmp(stream->input.first, "-"))) {
		log_error("%s on-end = wait: expected an input that can be opened again", where);
		return 1;
	}
	if (stream->on_demand && stream->input.first && !strcmp(stream->input.first, "-")) {
		log_error("%s on-demand = yes: standard input cannot be stopped and started; "
			  "expected input = exec:COMMAND, or another input",
			  where);
		return 1;
	}
	if (stream->pattern_form != PATTERN_OFFSETS && !stream->pattern) {
		log_error("%s pattern-form: expected a pattern as the source", where);
		return 1;
	}
	return check_device(stream, where) + check_input_format(stream, where);
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Write which block sizes near that of @stream hold whole records and pages. */
static void suggest_block_sizes(const struct stream_settings *stream, uint64_t page, char *text,
				size_t size)
{
	const struct option_definition *option = option_find(OPTION_STREAM, "block-size");
	uint64_t step = stream->record_size / greatest_divisor(stream->record_size, page) * page;
	uint64_t smaller = stream->block_size / step * step, larger = smaller + step;
	char first[UNITS_TEXT], second[UNITS_TEXT];

	units_format_size(smaller, first);
	units_format_size(larger, second);
	if (larger > option->maximum && !smaller)
		snprintf(text, size, "another record-size; no block-size up to %s would do",
			 units_format_size(option->maximum, second));
	else if (larger > option->maximum)
		snprintf(text, size, "block-size = %s", first);
	else if (!smaller)
		snprintf(text, size, "block-size = %s", second);
	else
		snprintf(text, size, "block-size = %s or %s", first, second);
}

static unsigned int check_records(const struct stream_settings *stream, const char *where)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char record[UNITS_TEXT], block[UNITS_TEXT], sizes[128];

	units_format_size(stream->record_size, record);
	units_format_size(stream->block_size, block);
	if (stream->record_size && stream->record_end.length) {
		log_error("%s: record-size and record-end; expected one of them", where);
		return 1;
	}
	if (stream->record_end.length && !stream->input.first) {
		log_error("%s record-end: expected an input as the source; a device or a pattern "
			  "may have a record-size",
			  where);
		return 1;
	}
	if (stream->device && stream->record_size && stream->block_size % stream->record_size) {
		suggest_block_sizes(stream, page, sizes, sizeof(sizes));
		log_error("%s block-size = %s: no multiple of record-size = %s, but a device fills "
			  "whole blocks; expected %s",
			  where, block, record, sizes);
		return 1;
	}
	if (stream->record_size > stream->block_size) {
		log_error("%s record-size = %s: larger than block-size = %s; expected larger "
			  "blocks, or smaller records",
			  where, record, block);
		return 1;
	}
	return 0;
}

/* A preamble in bytes moves the grid of `record-size`, which needs a source that fills blocks as they are cut. */
static unsigned int check_preamble(const struct stream_settings *stream, const char *where)
{
	uint64_t bytes = stream->preamble.bytes;
	char size[UNITS_TEXT], record[UNITS_TEXT];

	if (!bytes || !stream->record_size || !(bytes % stream->record_size))
		return 0;
	units_format_size(bytes, size);
	units_format_size(stream->record_size, record);
	if (stream->device) {
		log_error("%s preamble = %s: no multiple of record-size = %s, but a device fills "
			  "whole blocks; expected a multiple, or the path of a file",
			  where, size, record);
		return 1;
	}
	if (stream->pattern_form != PATTERN_OFFSETS) {
		log_error("%s preamble = %s: no multiple of record-size = %s, but this "
			  "pattern-form fills whole blocks; expected pattern-form = offsets",
			  where, size, record);
		return 1;
	}
	return 0;
}

static unsigned int check_meta(const struct stream_settings *stream, const char *where)
{
	size_t bytes = 0;

	for (size_t i = 0; i < stream->meta.count; i++)
		bytes += strlen(stream->meta.item[i]);
	if (bytes <= MAX_META_BYTES)
		return 0;
	log_error("%s meta: %zu bytes in %zu lines; expected at most %zu", where, bytes,
		  stream->meta.count, MAX_META_BYTES);
	return 1;
}

/* Return true if the source reads what is written to it. */
static bool check_source_reads(const struct stream_settings *stream)
{
	struct input input;
	const char *expected;

	return stream->input.first && input_parse(stream->input.first, &input, &expected) &&
	       input.kind != INPUT_STDIN && input.kind != INPUT_PATH && input.kind != INPUT_HTTP &&
	       stream->input_format == INPUT_RAW;
}

/* A peer that writes to the source controls it for all clients: the list of peers must be explicit. */
static unsigned int check_client_input(const struct client_settings *client,
				       const struct stream_settings *stream, const char *where)
{
	if (client->input != CLIENT_INPUT_SOURCE)
		return 0;
	if (client->format == FORMAT_HTTP) {
		log_error("%s client-input = source: what follows an HTTP request is discarded; "
			  "expected client-input = discard, or another format",
			  where);
		return 1;
	}
	if (!check_source_reads(stream)) {
		log_error(
			"%s client-input = source: expected a source that reads: an input of "
			"exec:, tcp:, unix:, tcp-listen: or unix-listen:, with input-format = raw",
			where);
		return 1;
	}
	if (!access_list_is_complete(&client->access)) {
		log_error("%s client-input = source: every peer could control the source; expected "
			  "allow = ADDRESS before each deny, or allow = all",
			  where);
		return 1;
	}
	return 0;
}

/* Check the options of clients. @where: of the section */
static unsigned int check_client(const struct client_settings *client,
				 const struct stream_settings *stream, const char *where)
{
	char limit[UNITS_TEXT], size[UNITS_TEXT], start[CLIENT_START_TEXT];

	if (client->lag_policy == LAG_POLICY_LATEST && client->start.kind != CLIENT_START_LIVE) {
		log_error(
			"%s start = %s: expected start = live, or another lag-policy than latest, "
			"whose clients skip all but the newest block",
			where, client_start_format(&client->start, start));
		return 1;
	}
	if (client->lag_policy == LAG_POLICY_BLOCK &&
	    (client->lag_limit.bytes || client->lag_limit.microseconds)) {
		log_error("%s lag-limit: expected lag-limit = none, or another lag-policy than "
			  "block",
			  where);
		return 1;
	}
	if (client->lag_limit.bytes >= stream->ring_size) {
		log_error("%s lag-limit = %s: expected less than ring-size, %s", where,
			  units_format_size(client->lag_limit.bytes, limit),
			  units_format_size(stream->ring_size, size));
		return 1;
	}
	return check_client_input(client, stream, where);
}

static unsigned int check_sections(const struct stream_settings *stream, const char *origin)
{
	unsigned int errors = 0;
	char where[512];

	for (size_t i = 0; i < stream->endpoint_count; i++) {
		snprintf(where, sizeof(where), "%s: [endpoint %s]", origin,
			 stream->endpoints[i].name);
		errors += check_client(&stream->endpoints[i].client, stream, where);
	}
	return errors;
}

static unsigned int check_stream_settings(const struct stream_settings *stream, const char *origin)
{
	uint64_t max_clients = stream_settings_max_clients(stream);
	unsigned int errors = 0;
	char where[512];

	snprintf(where, sizeof(where), "%s: [stream %s]", origin, stream->name);
	errors += check_source(stream, where);
	errors += check_ring_size(stream, where);
	errors += check_retain(stream, where);
	errors += check_records(stream, where);
	errors += check_preamble(stream, where);
	errors += check_meta(stream, where);
	if (stream_settings_listens(stream))
		errors += check_client(&stream->client, stream, where);
	errors += check_sections(stream, origin);
	if (!stream->listen.count && !stream->endpoint_count) {
		log_error("%s: clients cannot connect; expected at least one listen = HOST:PORT",
			  where);
		errors++;
	}
	if (stream->hold > max_clients) {
		log_error("%s hold = %" PRIu64 ": expected at most max-clients, %" PRIu64, where,
			  stream->hold, max_clients);
		errors++;
	}
	return errors;
}

/* A TCP address that an option makes the daemon listen on. */
struct claim {
	const char *kind, *name; /* "stream" or "endpoint", and its name; NULL: the daemon itself */
	const char *option, *text;
	char endpoint[300]; /* the same address, for endpoint_conflicts() */
};

struct claims {
	struct claim *item;
	size_t count;
};

static void claims_add(struct claims *claims, const char *kind, const char *name,
		       const char *option, const char *text, const char *endpoint)
{
	struct claim *claim = &claims->item[claims->count++];

	*claim = (struct claim){ .kind = kind, .name = name, .option = option, .text = text };
	strlcpy(claim->endpoint, endpoint, sizeof(claim->endpoint));
}

/* Without a host, `metrics` is on the loopback only. */
static void claims_add_metrics(struct claims *claims, const char *metrics)
{
	char endpoint[300];

	if (*metrics != ':') {
		claims_add(claims, NULL, NULL, "metrics", metrics, metrics);
		return;
	}
	snprintf(endpoint, sizeof(endpoint), "127.0.0.1%s", metrics);
	claims_add(claims, NULL, NULL, "metrics", metrics, endpoint);
	snprintf(endpoint, sizeof(endpoint), "[::1]%s", metrics);
	claims_add(claims, NULL, NULL, "metrics", metrics, endpoint);
}

static void claims_add_input(struct claims *claims, const struct stream_settings *stream)
{
	struct input input;
	const char *expected;
	char endpoint[300];
	bool in_brackets;

	if (!stream->input.first || !input_parse(stream->input.first, &input, &expected) ||
	    input.kind != INPUT_TCP_LISTEN)
		return;
	in_brackets = strchr(input.address.host, ':');
	snprintf(endpoint, sizeof(endpoint), in_brackets ? "[%s]:%s" : "%s:%s", input.address.host,
		 input.address.port);
	claims_add(claims, "stream", stream->name, "input", stream->input.first, endpoint);
}

static void claims_add_stream(struct claims *claims, const struct stream_settings *stream)
{
	claims_add_input(claims, stream);
	for (size_t i = 0; i < stream_settings_sections(stream); i++) {
		const struct section_settings section = stream_settings_section(stream, i);

		for (size_t j = 0; j < section.listen->count; j++)
			claims_add(claims, section.name ? "endpoint" : "stream",
				   section.name ? section.name : stream->name, "listen",
				   section.listen->item[j], section.listen->item[j]);
	}
}

/* Return the number of `listen` lines of the stream and its sections. */
static size_t claims_of_stream(const struct stream_settings *stream)
{
	size_t count = 0;

	for (size_t i = 0; i < stream_settings_sections(stream); i++)
		count += stream_settings_section(stream, i).listen->count;
	return count;
}

/* Return: false without memory. */
static bool claims_collect(struct claims *claims, const struct config *config)
{
	size_t count = 2 + config->stream_count;

	for (size_t s = 0; s < config->stream_count; s++)
		count += claims_of_stream(&config->streams[s]);
	*claims = (struct claims){ .item = calloc(count, sizeof(*claims->item)) };
	if (!claims->item)
		return false;
	if (config->daemon.metrics)
		claims_add_metrics(claims, config->daemon.metrics);
	for (size_t s = 0; s < config->stream_count; s++)
		claims_add_stream(claims, &config->streams[s]);
	return true;
}

/* Return the first claim before @number that excludes it, or NULL. */
static const struct claim *claims_earlier(const struct claims *claims, size_t number)
{
	const struct claim *item = claims->item;

	for (size_t i = 0; i < number; i++) {
		if (endpoint_conflicts(item[number].endpoint, item[i].endpoint))
			return &item[i];
	}
	return NULL;
}

static const char *claim_section(const struct claim *claim, char text[300])
{
	if (claim->kind)
		snprintf(text, 300, "[%s %s]", claim->kind, claim->name);
	else
		strlcpy(text, "[daemon]", 300);
	return text;
}

/* Add the `listen` lines of the stream to @count. Return: false after an error, which was logged. */
static bool check_listen_count(const char *origin, const struct stream_settings *stream,
			       size_t *count)
{
	for (size_t i = 0; i < stream_settings_sections(stream); i++) {
		const struct section_settings section = stream_settings_section(stream, i);

		if (*count + section.listen->count > MAX_ENDPOINTS) {
			log_error("%s: [%s %s] listen = %s: expected at most %d endpoints of all "
				  "streams together",
				  origin, section.name ? "endpoint" : "stream",
				  section.name ? section.name : stream->name,
				  section.listen->item[MAX_ENDPOINTS - *count], MAX_ENDPOINTS);
			return false;
		}
		*count += section.listen->count;
	}
	return true;
}

/* Claims are compared in pairs. */
static unsigned int check_endpoint_count(const struct config *config, const char *origin)
{
	bool right = true;
	size_t count = 0;

	for (size_t s = 0; right && s < config->stream_count; s++)
		right = check_listen_count(origin, &config->streams[s], &count);
	return !right;
}

/* An address that is used twice would fail later, with a less clear message. */
static unsigned int check_addresses(const struct config *config, const char *origin)
{
	struct claims claims;
	unsigned int errors = check_endpoint_count(config, origin);

	if (errors)
		return errors;
	if (!claims_collect(&claims, config)) {
		log_error("%s: no memory to check the addresses", origin);
		return 1;
	}
	for (size_t i = 0; i < claims.count; i++) {
		const struct claim *claim = &claims.item[i], *taken = claims_earlier(&claims, i);
		char section[300], other[300];

		if (!taken)
			continue;
		log_error("%s: %s %s = %s: taken by %s, %s = %s; expected another address or port",
			  origin, claim_section(claim, section), claim->option, claim->text,
			  claim_section(taken, other), taken->option, taken->text);
		errors++;
	}
	free(claims.item);
	return errors;
}

/* ---- sources that only one stream can have ---- */

/* Return the path of the socket of an input unix-listen:PATH, or NULL. */
static const char *check_listen_path(const char *text)
{
	struct input input;
	const char *expected;

	if (!text || !input_parse(text, &input, &expected) || input.kind != INPUT_UNIX_LISTEN)
		return NULL;
	return input.argument;
}

/* Return true if @device is a terminal. The slaves of pseudo-terminals are not in /sys. */
static bool check_is_terminal(dev_t device)
{
	char path[64], subsystem[256];
	ssize_t length;

	if (major(device) >= UNIX98_PTY_SLAVE_MAJOR &&
	    major(device) < UNIX98_PTY_SLAVE_MAJOR + UNIX98_PTY_MAJOR_COUNT)
		return true;
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/subsystem", major(device), minor(device));
	length = readlink(path, subsystem, sizeof(subsystem) - 1);
	subsystem[length > 0 ? length : 0] = '\0';
	return length > 4 && !strcmp(subsystem + length - 4, "/tty");
}

/* What only one stream can have. */
struct exclusive {
	const char
		*expected; /* "one stream for each device"; NULL: others may have the same source */
	const char *path;  /* NULL: of a terminal */
	dev_t terminal;
};

/* Return what is exclusive of an input that is a path: a terminal, if it is one now. */
static struct exclusive exclusive_path(const char *path)
{
	struct stat status;

	if (stat(path, &status) || !S_ISCHR(status.st_mode) || !check_is_terminal(status.st_rdev))
		return (struct exclusive){ 0 };
	return (struct exclusive){ .expected = "one stream for each terminal",
				   .terminal = status.st_rdev };
}

static struct exclusive exclusive_source(const struct stream_settings *stream)
{
	const char *expected;
	struct input input;

	if (stream->device)
		return (struct exclusive){ .expected = "one stream for each device",
					   .path = stream->device };
	if (!stream->input.first || !input_parse(stream->input.first, &input, &expected))
		return (struct exclusive){ 0 };
	if (input.kind == INPUT_STDIN)
		return (struct exclusive){ .expected = "one stream on standard input",
					   .path = stream->input.first };
	if (input.kind == INPUT_UNIX_LISTEN)
		return (struct exclusive){ .expected = "one stream for each socket",
					   .path = input.argument };
	return input.kind == INPUT_PATH ? exclusive_path(input.argument) : (struct exclusive){ 0 };
}

static bool exclusive_is_same(const struct exclusive *a, const struct exclusive *b)
{
	if (!a->expected || !b->expected || strcmp(a->expected, b->expected))
		return false;
	return a->path ? !strcmp(a->path, b->path) : a->terminal == b->terminal;
}

/* Return: the number of errors that stream @number has because of those before it. */
static unsigned int check_earlier_sources(const struct config *config,
					  const struct exclusive *source, size_t number,
					  const char *origin)
{
	const struct stream_settings *stream = &config->streams[number];

	for (size_t i = 0; i < number; i++) {
		if (!exclusive_is_same(&source[number], &source[i]))
			continue;
		log_error("%s: [stream %s] %s = %s: taken by [stream %s]; expected %s", origin,
			  stream->name, stream->device ? "device" : "input",
			  stream->device ? stream->device : stream->input.first,
			  config->streams[i].name, source[number].expected);
		return 1;
	}
	return 0;
}

static unsigned int check_control(const struct config *config, const struct stream_settings *stream,
				  const char *origin)
{
	const char *path = check_listen_path(stream->input.first);

	if (!path || !config->daemon.control || strcmp(path, config->daemon.control))
		return 0;
	log_error("%s: [stream %s] input = %s: taken by [daemon], control = %s; expected another "
		  "path",
		  origin, stream->name, stream->input.first, config->daemon.control);
	return 1;
}

bool config_check(const struct config *config, const char *origin)
{
	struct exclusive source[MAX_STREAMS];
	unsigned int errors = 0;

	if (!config->stream_count) {
		log_error("%s: no stream; expected at least one [stream NAME]", origin);
		return false;
	}
	for (size_t i = 0; i < config->stream_count; i++) {
		source[i] = exclusive_source(&config->streams[i]);
		errors += check_stream_settings(&config->streams[i], origin);
		errors += check_earlier_sources(config, source, i, origin);
		errors += check_control(config, &config->streams[i], origin);
	}
	errors += check_addresses(config, origin);
	return errors == 0;
}
