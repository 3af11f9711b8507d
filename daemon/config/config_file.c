// SPDX-License-Identifier: BSD-2-Clause
#include "config/config_file.h"

#include "config/option_table.h"
#include "lib/log.h"

#include <bsd/string.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\n\v\f\r"
#define NO_SECTION (-1)
#define DAEMON_SECTION (-2)

/* State while a file is read: inih splits the lines, this records where they came from. */
struct reader {
	struct config *config;
	const char *path;
	FILE *file;
	char *line;
	size_t line_capacity;
	unsigned int line_number;
	int section;	    /* index into config->streams, or NO_SECTION, DAEMON_SECTION */
	bool section_begun; /* a known one or not */
	bool section_known;
	unsigned int *
		set_on_line; /* line number for each option of the table in this section; 0: not set */
	bool daemon_seen;
	int read_error; /* errno of the read that failed; 0: the whole file was read */
	unsigned int errors;
};

__attribute__((format(printf, 2, 3))) static void reader_error(struct reader *reader,
							       const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_error("%s:%u: %s", reader->path, reader->line_number, text);
	reader->errors++;
}

/* Find the first of the characters @wanted in @line that is outside a comment, by inih's rules. */
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

/* Begin a section. inih reports a section only with its first key, and there may be none. */
static void reader_begin_section(struct reader *reader, const char *line)
{
	const char *end = find_outside_comment(line, "]"), *expected;
	char name[128];

	memset(reader->set_on_line, 0, option_count * sizeof(*reader->set_on_line));
	reader->section_begun = true;
	reader->section_known = false;
	if (!end || !is_blank_or_comment(end + 1)) {
		reader_error(reader, "%s: expected [daemon] or [stream NAME], and nothing after it",
			     line);
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
		if (config_add_stream(reader->config, name + 7 + strspn(name + 7, " "),
				      &expected)) {
			reader->section = (int)reader->config->stream_count - 1;
			reader->section_known = true;
		} else if (expected) {
			reader_error(reader, "[%s]: expected %s", name, expected);
		} else {
			reader_error(reader, "[%s]: no memory", name);
		}
	} else {
		reader_error(reader, "[%s]: unknown section; expected [daemon] or [stream NAME]",
			     name);
	}
}

/* Check a line before inih parses it. Return: true if inih should get it. */
static bool preprocess_line(struct reader *reader, const char *line, size_t longest)
{
	if (is_blank_or_comment(line))
		return false;
	if (strlen(line) > longest) {
		reader_error(reader, "line too long; expected at most %zu bytes", longest);
		return false;
	}
	if (*line == '[') {
		reader_begin_section(reader, line);
		return reader->section_known;
	}
	if (!find_outside_comment(line, "=:")) {
		reader_error(reader, "%s: expected [section] or key = value", line);
		return false;
	}
	return true;
}

/* Read a line for inih, like fgets(). Strip white space at both ends: an indented line would continue the
 * option before it. */
static char *reader_read_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;
	ssize_t length = getline(&reader->line, &reader->line_capacity, reader->file);
	char *line = reader->line;

	if (length < 0) {
		/* Without memory for a line the end is not reached, and no error flag is set. */
		if (!feof(reader->file))
			reader->read_error = errno;
		return NULL;
	}
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
	if (preprocess_line(reader, line, (size_t)size - 1))
		strlcpy(buffer, line, (size_t)size);
	return buffer;
}

static void *reader_settings(struct reader *reader)
{
	if (reader->section == DAEMON_SECTION)
		return &reader->config->daemon;
	return &reader->config->streams[reader->section];
}

/* Set an option, for inih. Return: always 1; errors are counted here, and inih counts those of syntax. */
static int reader_handle_option(void *user, const char *section, const char *name,
				const char *value)
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
	if (option_set(option, reader_settings(reader), value, expected))
		return 1;
	if (*expected)
		reader_error(reader, "[%s] %s = %s: expected %s", section, name, value, expected);
	else
		reader_error(reader, "[%s] %s: no memory", section, name);
	return 1;
}

bool config_file_read(struct config *config, const char *path)
{
	struct reader reader = { .config = config, .path = path, .section = NO_SECTION };
	int result;

	reader.file = fopen(path, "re");
	if (!reader.file) {
		log_error("%s: %s; expected a configuration file", path, strerror(errno));
		return false;
	}
	reader.set_on_line = calloc(option_count, sizeof(*reader.set_on_line));
	if (!reader.set_on_line) {
		log_error("%s: no memory to read it", path);
		fclose(reader.file);
		return false;
	}
	result = ini_parse_stream(reader_read_line, &reader, reader_handle_option, &reader);
	if (reader.read_error) {
		log_error("%s: %s; expected a configuration file", path,
			  strerror(reader.read_error));
		reader.errors++;
	}
	if (result > 0) {
		reader.line_number = (unsigned int)result;
		reader_error(&reader, "expected [section] or key = value");
	} else if (result < 0) {
		log_error("%s: no memory to read it", path);
		reader.errors++;
	}
	free(reader.set_on_line);
	free(reader.line);
	fclose(reader.file);
	return reader.errors == 0;
}

bool config_file_can_hold(const char *name, const char *value)
{
	return !strstr(value, " ;") &&
	       strlen(name) + strlen(" = ") + strlen(value) <= INI_MAX_LINE - 2;
}
