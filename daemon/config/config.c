// SPDX-License-Identifier: BSD-2-Clause
#include "config/config.h"

#include "config/option_table.h"
#include "lib/endpoint.h"
#include "lib/input.h"
#include "lib/log.h"
#include "lib/pattern.h"
#include "lib/units.h"

#include <bsd/string.h>
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAM_NAME_MAX 32
#define BLANKS " \t\n\v\f\r"
#define MINIMUM_BLOCKS 4
#define LONGEST_INPUT (INI_MAX_LINE - 1 - sizeof("input = "))
#define NO_SECTION (-1)
#define DAEMON_SECTION (-2)

/* What is known while a file is read. inih splits the lines, this keeps where they came from. */
struct reader {
	struct config *config;
	const char *path;
	FILE *file;
	char *line;
	size_t line_capacity;
	unsigned int line_number;
	int section;	    /* index into config->streams, or NO_SECTION, DAEMON_SECTION */
	bool section_begun; /* any, known or not */
	bool section_known;
	unsigned int *set_on_line; /* for each option of the table, in this section; 0: not yet */
	bool daemon_seen;
	unsigned int errors;
};

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	option_set_presets(OPTION_DAEMON, &config->daemon);
}

struct stream_settings *config_add_stream(struct config *config, const char *name,
					  const char **wrong)
{
	struct stream_settings *streams;
	size_t length = strlen(name);

	*wrong = "a stream name of 1 to 32 letters, digits, '.', '_' or '-'";
	if (length == 0 || length > STREAM_NAME_MAX ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") !=
		    length)
		return NULL;
	*wrong = "each stream once, under a name of its own";
	for (size_t i = 0; i < config->stream_count; i++) {
		if (!strcmp(config->streams[i].name, name))
			return NULL;
	}
	streams = reallocarray(config->streams, config->stream_count + 1, sizeof(*streams));
	if (!streams)
		err(1, "configuration");
	config->streams = streams;
	streams += config->stream_count++;
	memset(streams, 0, sizeof(*streams));
	option_set_presets(OPTION_STREAM, streams);
	streams->name = strdup(name);
	if (!streams->name)
		err(1, "configuration");
	return streams;
}

static void __attribute__((format(printf, 2, 3)))
reader_error(struct reader *reader, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_error("%s:%u: %s", reader->path, reader->line_number, text);
	reader->errors++;
}

/* The first of @wanted in @line that is not in a comment, by inih's rules; or NULL. */
static const char *find_outside_comment(const char *line, const char *wanted)
{
	for (const char *p = line; *p; p++) {
		if (strchr(wanted, *p))
			return p;
		if (*p == ';' && (p == line || isspace((unsigned char)p[-1])))
			return NULL;
	}
	return NULL;
}

static bool is_blank_or_comment(const char *text)
{
	text += strspn(text, BLANKS);
	return !*text || *text == ';' || *text == '#';
}

/* A section begins: inih tells of it only with its first key, which may never come. */
static void begin_section(struct reader *reader, const char *line)
{
	const char *end = find_outside_comment(line, "]"), *wrong;
	char name[128];

	memset(reader->set_on_line, 0, option_count * sizeof(*reader->set_on_line));
	reader->section_begun = true;
	reader->section_known = false;
	if (!end || !is_blank_or_comment(end + 1)) {
		reader_error(reader,
			     "%s: expected [daemon] or [stream NAME], and nothing behind it", line);
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(end - line - 1), line + 1);

	if (!strcmp(name, "daemon")) {
		if (reader->daemon_seen)
			reader_error(reader, "[daemon]: expected only one such section");
		reader->daemon_seen = true;
		reader->section = DAEMON_SECTION;
		reader->section_known = true;
	} else if (!strncmp(name, "stream ", 7)) {
		if (config_add_stream(reader->config, name + 7 + strspn(name + 7, " "), &wrong)) {
			reader->section = (int)reader->config->stream_count - 1;
			reader->section_known = true;
		} else {
			reader_error(reader, "[%s]: expected %s", name, wrong);
		}
	} else {
		reader_error(reader, "[%s]: unknown section; expected [daemon] or [stream NAME]",
			     name);
	}
}

/* Look at a line before inih does. Return: whether inih is to have it. */
static bool look_at_line(struct reader *reader, const char *line, size_t longest)
{
	if (is_blank_or_comment(line))
		return false;
	if (strlen(line) > longest) {
		reader_error(reader, "line too long; expected at most %zu bytes", longest);
		return false;
	}
	if (*line == '[') {
		begin_section(reader, line);
		return reader->section_known;
	}
	if (!find_outside_comment(line, "=:")) {
		reader_error(reader, "%s: expected [section] or key = value", line);
		return false;
	}
	return true;
}

/* inih's reader: like fgets(), but it counts lines, and keeps no white space at either end: an
 * indented line would continue the option before it. */
static char *read_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;
	ssize_t length = getline(&reader->line, &reader->line_capacity, reader->file);
	char *line = reader->line;

	if (length < 0)
		return NULL;
	reader->line_number++;
	buffer[0] = '\0';
	if (strlen(line) != (size_t)length) {
		reader_error(reader, "NUL byte; expected text");
		return buffer;
	}
	while (length && isspace((unsigned char)line[length - 1]))
		line[--length] = '\0';
	if (reader->line_number == 1 && !strncmp(line, "\xef\xbb\xbf", 3))
		line += 3; /* a byte order mark */
	line += strspn(line, BLANKS);
	if (look_at_line(reader, line, (size_t)size - 1))
		strlcpy(buffer, line, (size_t)size);
	return buffer;
}

static void *section_settings(struct reader *reader)
{
	if (reader->section == DAEMON_SECTION)
		return &reader->config->daemon;
	return &reader->config->streams[reader->section];
}

/* inih's handler: one "key = value". Always 1: errors are counted here, inih's own are of syntax. */
static int handle_option(void *user, const char *section, const char *name, const char *value)
{
	struct reader *reader = user;
	const struct option_definition *option;
	char expected[OPTION_ERROR_TEXT];
	enum option_scope scope;
	unsigned int *set_on_line;

	if (!reader->section_begun)
		reader_error(reader, "%s: expected [daemon] or [stream NAME] before it", name);
	if (!reader->section_known)
		return 1; /* the section itself was reported */
	scope = reader->section == DAEMON_SECTION ? OPTION_DAEMON : OPTION_STREAM;
	option = option_find(scope, name);
	if (!option) {
		if (option_find(scope == OPTION_DAEMON ? OPTION_STREAM : OPTION_DAEMON, name))
			reader_error(reader, "[%s] %s: expected in %s", section, name,
				     scope == OPTION_DAEMON ? "a section [stream NAME]"
							    : "the section [daemon]");
		else
			reader_error(reader, "[%s] %s: unknown option; see dmacastd.conf(5)",
				     section, name);
		return 1;
	}
	set_on_line = &reader->set_on_line[option - option_table];
	if (*set_on_line && !option->type->repeats) {
		reader_error(reader, "[%s] %s: set before, on line %u; expected once", section,
			     name, *set_on_line);
		return 1;
	}
	*set_on_line = reader->line_number;
	if (!option_set(option, section_settings(reader), value, expected))
		reader_error(reader, "[%s] %s = %s: expected %s", section, name, value, expected);
	return 1;
}

bool config_read_file(struct config *config, const char *path)
{
	struct reader reader = { .config = config, .path = path, .section = NO_SECTION };
	int syntax_error;

	reader.file = fopen(path, "re");
	if (!reader.file) {
		log_error("%s: %s; expected a configuration file", path, strerror(errno));
		return false;
	}
	reader.set_on_line = calloc(option_count, sizeof(*reader.set_on_line));
	if (!reader.set_on_line)
		err(1, "configuration");
	syntax_error = ini_parse_stream(read_line, &reader, handle_option, &reader);
	if (ferror(reader.file)) {
		log_error("%s: %s; expected a configuration file", path, strerror(errno));
		reader.errors++;
	}
	if (syntax_error) {
		reader.line_number = (unsigned int)syntax_error;
		reader_error(&reader, "expected [section] or key = value");
	}
	free(reader.set_on_line);
	free(reader.line);
	fclose(reader.file);
	return reader.errors == 0;
}

/* The errors of one stream: each line says which option, and what would be right. */
static unsigned int check_ring(const struct stream_settings *stream, const char *where)
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
	if (blocks < MINIMUM_BLOCKS) {
		log_error("%s ring-size = %s: holds %" PRIu64
			  " blocks of block-size = %s; expected "
			  "at least %s, or smaller blocks",
			  where, size, blocks, block,
			  units_format_size(MINIMUM_BLOCKS * stream->block_size, need));
		errors++;
	} else if (stream_settings_low_water(stream) > blocks / 2) {
		log_error("%s low-water = %" PRIu64 ": expected at most half of the ring's %" PRIu64
			  " blocks",
			  where, stream->low_water, blocks);
		errors++;
	}
	return errors;
}

/* What only a device, or anything but a device, can do. */
static unsigned int check_device(const struct stream_settings *stream, const char *where)
{
	unsigned int errors = 0;

	if (stream->device && stream->huge_pages == HUGE_PAGES_REQUIRE) {
		log_error("%s huge-pages = require: expected no device; its ring is the kernel's",
			  where);
		errors++;
	}
	if (!stream->device && stream->overrun != OVERRUN_DROP_OLDEST) {
		log_error(
			"%s overrun = stall: expected a device; others wait when the ring is full",
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
	const char *wrong;

	if (!sources) {
		log_error("%s: no source; expected input, pattern or device", where);
		return 1;
	}
	if (sources > 1) {
		log_error("%s: %s sources; expected either input, pattern or device", where,
			  sources == 2 ? "two" : "three");
		return 1;
	}
	if (stream->loop && (!stream->input || !input_parse(stream->input, &input, &wrong) ||
			     (input.kind != INPUT_PATH && input.kind != INPUT_STDIN))) {
		log_error("%s loop = yes: expected an input that is a regular file", where);
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

static unsigned int check_stream(const struct stream_settings *stream, const char *origin)
{
	unsigned int errors = 0;
	char where[512];

	snprintf(where, sizeof(where), "%s: [stream %s]", origin, stream->name);
	errors += check_source(stream, where);
	errors += check_ring(stream, where);
	if (!stream->listen.count) {
		log_error("%s: nobody can connect; expected at least one listen = HOST:PORT",
			  where);
		errors++;
	}
	if (stream->hold > stream->max_clients) {
		log_error("%s hold = %" PRIu64 ": expected at most max-clients, %" PRIu64, where,
			  stream->hold, stream->max_clients);
		errors++;
	}
	return errors;
}

/* The stream that has the endpoint @index of stream @number, before it, or NULL. */
static const struct stream_settings *earlier_user(const struct config *config, size_t number,
						  size_t index)
{
	const char *endpoint = config->streams[number].listen.item[index];

	for (size_t s = 0; s <= number; s++) {
		const struct text_list *listen = &config->streams[s].listen;

		for (size_t i = 0; i < (s == number ? index : listen->count); i++) {
			if (endpoint_is_same(endpoint, listen->item[i]))
				return &config->streams[s];
		}
	}
	return NULL;
}

/* The same endpoint twice can only fail later, and less clearly. */
static unsigned int check_endpoints(const struct config *config, const char *origin)
{
	unsigned int errors = 0;

	for (size_t s = 0; s < config->stream_count; s++) {
		const struct stream_settings *stream = &config->streams[s];

		for (size_t i = 0; i < stream->listen.count; i++) {
			const struct stream_settings *user = earlier_user(config, s, i);

			if (!user)
				continue;
			log_error("%s: [stream %s] listen = %s: taken by [stream %s]; expected "
				  "another address or port",
				  origin, stream->name, stream->listen.item[i], user->name);
			errors++;
		}
	}
	return errors;
}

/* Who else has what only one stream can have, or NULL. */
static const struct stream_settings *earlier_owner(const struct config *config, size_t number)
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
		const struct stream_settings *stream = &config->streams[i], *owner;

		errors += check_stream(stream, origin);
		owner = earlier_owner(config, i);
		if (!owner)
			continue;
		if (stream->device)
			log_error("%s: [stream %s] device = %s: taken by [stream %s]; expected one "
				  "stream for each device",
				  origin, stream->name, stream->device, owner->name);
		else
			log_error("%s: [stream %s] input = -: taken by [stream %s]; expected one "
				  "stream on standard input",
				  origin, stream->name, owner->name);
		errors++;
	}
	errors += check_endpoints(config, origin);
	return errors == 0;
}

/* A command line can say what a file cannot. */
static void warn_of_input(const struct stream_settings *stream)
{
	const char *input = stream->input;

	if (input && (strstr(input, " ;") || strlen(input) > LONGEST_INPUT))
		log_warning(
			"stream %s: input = %s: a file cannot hold this, put the command into a "
			"script",
			stream->name, input);
}

static void print_section(enum option_scope scope, const void *settings, FILE *file)
{
	for (size_t i = 0; i < option_count; i++) {
		if (option_table[i].scope == scope)
			option_print(&option_table[i], settings, file);
	}
}

void config_print(const struct config *config, FILE *file)
{
	fprintf(file, "[daemon]\n");
	print_section(OPTION_DAEMON, &config->daemon, file);
	for (size_t i = 0; i < config->stream_count; i++) {
		fprintf(file, "\n[stream %s]\n", config->streams[i].name);
		print_section(OPTION_STREAM, &config->streams[i], file);
		warn_of_input(&config->streams[i]);
	}
}

static void free_streams(struct config *config)
{
	while (config->stream_count)
		stream_settings_clear(&config->streams[--config->stream_count]);
	free(config->streams);
	config->streams = NULL;
}

void config_renew(struct config *config, struct config *from)
{
	daemon_settings_adapt(&config->daemon, &from->daemon);
	config->log_level = from->log_level;
	free_streams(config);
	config->streams = from->streams;
	config->stream_count = from->stream_count;
	from->streams = NULL;
	from->stream_count = 0;
}

void config_free(struct config *config)
{
	daemon_settings_clear(&config->daemon);
	free_streams(config);
}
