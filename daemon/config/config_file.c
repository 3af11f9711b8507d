// SPDX-License-Identifier: BSD-2-Clause
#include "config/config_file.h"

#include "config/option_table.h"
#include "config/quote.h"
#include "lib/interrupted.h"
#include "lib/log.h"

#include <bsd/string.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLANKS " \t\n\v\f\r"
#define NO_SECTION (-1)
#define DAEMON_SECTION (-2)
#define SECTIONS "[daemon], [stream NAME] or [endpoint NAME]"

/* Size in bytes up to which a file is read, and the size of the buffer at first. */
#define MAX_FILE_BYTES ((size_t)4 << 20)
#define FIRST_BUFFER_BYTES ((size_t)16 << 10)
/* Number of errors after which the rest of a file is not looked at: it is something else. */
#define MAX_ERRORS 50
/* Bytes of a value, or of a line, that an error shows. */
#define MAX_SHOWN 160

/*
 * State while a file is read: inih sorts the lines into sections and options, this records where they came
 * from. inih's lines have 199 bytes in most builds, and it knows no quotes: it gets a placeholder for
 * each value.
 */
struct reader {
	struct config *config;
	const char *path;
	char *text, *end; /* the file; a NUL is at its end */
	char *next;	  /* line in it */
	unsigned int line_number;
	char *value;	     /* of the option on this line */
	const char *comment; /* behind the value, if that has no quotes; NULL: none */
	enum option_scope scope;
	int section;	    /* index into the streams or endpoints, or NO_SECTION, DAEMON_SECTION */
	bool section_begun; /* a known one or not */
	bool section_known;
	unsigned int *
		set_on_line; /* line number for each option of the table in this section; 0: not set */
	bool daemon_seen;
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

static bool reader_begin_stream(struct reader *reader, const char *name, const char **expected)
{
	reader->scope = OPTION_STREAM;
	if (!config_add_stream(reader->config, name, expected))
		return false;
	reader->section = (int)reader->config->stream_count - 1;
	return true;
}

static bool reader_begin_endpoint(struct reader *reader, const char *name, const char **expected)
{
	struct config_endpoint *endpoint = config_add_endpoint(reader->config, name, expected);

	reader->scope = OPTION_ENDPOINT;
	if (!endpoint)
		return false;
	endpoint->line = reader->line_number;
	reader->section = (int)reader->config->endpoint_count - 1;
	return true;
}

/* Return what follows @kind and blanks in @name; NULL if it does not begin so. */
static const char *section_name(const char *name, const char *kind)
{
	size_t length = strlen(kind);

	if (strncmp(name, kind, length) || name[length] != ' ')
		return NULL;
	return name + length + strspn(name + length, " ");
}

/* Begin a section that has a name. Return: false after an error, which was logged. */
static bool reader_begin_named(struct reader *reader, const char *section)
{
	const char *stream = section_name(section, "stream"), *expected = NULL;
	const char *endpoint = section_name(section, "endpoint");

	if (!stream && !endpoint)
		reader_error(reader, "[%s]: unknown section; expected " SECTIONS, section);
	else if (stream ? reader_begin_stream(reader, stream, &expected)
			: reader_begin_endpoint(reader, endpoint, &expected))
		return true;
	else if (expected)
		reader_error(reader, "[%s]: expected %s", section, expected);
	else
		reader_error(reader, "[%s]: no memory", section);
	return false;
}

/* Begin a section. inih reports a section only with its first key, and there may be none. */
static void reader_begin_section(struct reader *reader, const char *line)
{
	const char *end = find_outside_comment(line, "]");
	char name[128];

	memset(reader->set_on_line, 0, option_count * sizeof(*reader->set_on_line));
	reader->section_begun = true;
	reader->section_known = false;
	if (!end || !is_blank_or_comment(end + 1)) {
		reader_error(reader, "%.*s: expected " SECTIONS ", and nothing after it", MAX_SHOWN,
			     line);
		return;
	}
	if ((size_t)snprintf(name, sizeof(name), "%.*s", (int)(end - line - 1), line + 1) >=
	    sizeof(name)) {
		reader_error(reader, "[%s...]: expected a shorter name", name);
		return;
	}

	if (strcmp(name, "daemon") != 0) {
		reader->section_known = reader_begin_named(reader, name);
		return;
	}
	if (reader->daemon_seen)
		reader_error(reader, "[daemon]: expected only one such section");
	reader->daemon_seen = true;
	reader->scope = OPTION_DAEMON;
	reader->section = DAEMON_SECTION;
	reader->section_known = true;
}

/* A command that is cut still runs, and does something else: say so. Of other values nothing is missing. */
static void reader_warn_of_cut(const struct reader *reader, const char *name)
{
	if (!reader->comment || strncmp(reader->value, "exec:", strlen("exec:")))
		return;
	log_warning("%s:%u: %s = %.*s: cut at white space and a semicolon, which begin a comment; "
		    "write the value in double quotes to keep it, or to confirm the comment",
		    reader->path, reader->line_number, name, MAX_SHOWN, reader->value);
}

/* Write the option of @line into @buffer for inih, with a placeholder, and keep the value. */
static void reader_begin_option(struct reader *reader, char *line, char *buffer, size_t size)
{
	size_t length = strcspn(line, "=:");
	const char *expected = quote_remove(line + length + 1, &reader->value, &reader->comment);

	line[length] = '\0';
	if (expected)
		reader_error(reader, "%.*s: expected %s", MAX_SHOWN, line, expected);
	else if ((size_t)snprintf(buffer, size, "%s=.", line) >= size)
		reader_error(reader, "%.*s...: unknown option; see dmacastd.conf(5)", MAX_SHOWN,
			     line);
	else
		return;
	buffer[0] = '\0';
}

/* Check a line, and write into @buffer what inih gets. */
static void preprocess_line(struct reader *reader, char *line, char *buffer, size_t size)
{
	if (is_blank_or_comment(line))
		return;
	if (strlen(line) > MAX_LINE_BYTES) {
		reader_error(reader,
			     "line too long; expected at most %u bytes; put a longer command into "
			     "a script",
			     MAX_LINE_BYTES);
	} else if (*line == '[') {
		reader_begin_section(reader, line);
		if (reader->section_known)
			strlcpy(buffer, line, size);
	} else if (!find_outside_comment(line, "=:")) {
		reader_error(reader, "%.*s: expected [section] or key = value", MAX_SHOWN, line);
	} else {
		reader_begin_option(reader, line, buffer, size);
	}
}

/* Return the next line of the file, NUL-terminated and without white space at its end; NULL: none is left. */
static char *reader_next_line(struct reader *reader, bool *has_nul)
{
	char *line = reader->next, *end;

	if (line == reader->end)
		return NULL;
	end = memchr(line, '\n', (size_t)(reader->end - line));
	if (!end)
		end = reader->end;
	reader->next = end == reader->end ? end : end + 1;
	*has_nul = memchr(line, '\0', (size_t)(end - line));
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return line;
}

/* Skip empty lines and comments: a file may have millions of them. */
static void reader_skip_blank(struct reader *reader)
{
	while (reader->next < reader->end) {
		char *text = reader->next + strspn(reader->next, " \t\r");
		char *end = memchr(reader->next, '\n', (size_t)(reader->end - reader->next));

		if (!end || (*text != '\n' && *text != '#' && *text != ';') ||
		    memchr(reader->next, '\0', (size_t)(end - reader->next)))
			return;
		reader->next = end + 1;
		reader->line_number++;
	}
}

/* Read a line for inih, like fgets(). Strip white space at both ends: an indented line would continue the
 * option before it. */
static char *reader_read_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;
	bool has_nul;
	char *line;

	if (reader->errors >= MAX_ERRORS) {
		log_error("%s:%u: too many errors; the rest is not read", reader->path,
			  reader->line_number);
		return NULL;
	}
	reader_skip_blank(reader);
	line = reader_next_line(reader, &has_nul);
	if (!line)
		return NULL;
	reader->line_number++;
	buffer[0] = '\0';
	if (has_nul) {
		reader_error(reader, "NUL byte; expected text");
		return buffer;
	}
	if (reader->line_number == 1 && !strncmp(line, "\xef\xbb\xbf", 3))
		line += 3; /* a byte order mark */
	line += strspn(line, BLANKS);
	preprocess_line(reader, line, buffer, (size_t)size);
	return buffer;
}

static void *reader_settings(struct reader *reader)
{
	struct config *config = reader->config;

	switch (reader->scope) {
	case OPTION_STREAM:
		return &config->streams[reader->section];
	case OPTION_ENDPOINT:
		return &config->endpoints[reader->section].settings;
	case OPTION_DAEMON:
		break;
	}
	return &config->daemon;
}

/* Return where an option that is not in the sections of @scope belongs; NULL: nowhere. */
static const char *right_section(enum option_scope scope, const char *name)
{
	static const char *const section[] = {
		[OPTION_DAEMON] = "the section [daemon]",
		[OPTION_STREAM] = "a section [stream NAME]",
		[OPTION_ENDPOINT] = "a section [endpoint NAME]",
	};

	for (unsigned int other = OPTION_DAEMON; other <= OPTION_ENDPOINT; other++) {
		if (other != scope && option_find((enum option_scope)other, name))
			return section[other];
	}
	return NULL;
}

/* Note that the option was set. Return: false after an error, which was logged. */
static bool reader_note_option(struct reader *reader, const struct option_definition *option,
			       const char *section)
{
	unsigned int *set_on_line = &reader->set_on_line[option - option_table];

	if (*set_on_line && !option->type->repeats) {
		reader_error(reader, "[%s] %s: set before, on line %u; expected once", section,
			     option->name, *set_on_line);
		return false;
	}
	*set_on_line = reader->line_number;
	if (reader->scope == OPTION_ENDPOINT)
		reader->config->endpoints[reader->section].is_set[option - option_table] = true;
	return true;
}

/* Set an option, for inih. Return: always 1; errors are counted here, and inih counts those of syntax. */
static int reader_handle_option(void *user, const char *section, const char *name,
				const char *placeholder)
{
	struct reader *reader = user;
	const char *value = reader->value, *right;
	const struct option_definition *option;
	char expected[OPTION_ERROR_TEXT];

	(void)placeholder;
	if (!reader->section_begun)
		reader_error(reader, "%s: expected " SECTIONS " before it", name);
	if (!reader->section_known)
		return 1; /* the section itself was reported */
	option = option_find(reader->scope, name);
	if (!option) {
		right = right_section(reader->scope, name);
		if (right)
			reader_error(reader, "[%s] %s: expected in %s", section, name, right);
		else
			reader_error(reader, "[%s] %s: unknown option; see dmacastd.conf(5)",
				     section, name);
		return 1;
	}
	if (!reader_note_option(reader, option, section))
		return 1;
	reader_warn_of_cut(reader, name);
	if (option_set_line(option, reader->scope, reader_settings(reader), name, value, expected))
		return 1;
	if (*expected)
		reader_error(reader, "[%s] %s = %.*s: expected %s", section, name, MAX_SHOWN, value,
			     expected);
	else
		reader_error(reader, "[%s] %s: no memory", section, name);
	return 1;
}

/* Give the endpoints to their streams, which may stand before or behind them. */
static void reader_resolve_endpoints(struct reader *reader)
{
	struct config *config = reader->config;
	const char *expected;

	for (size_t i = 0; i < config->endpoint_count; i++) {
		struct config_endpoint *endpoint = &config->endpoints[i];
		const char *name = endpoint->settings.name, *stream = endpoint->settings.stream;

		reader->line_number = endpoint->line;
		if (config_resolve_endpoint(config, endpoint, &expected))
			continue;
		if (expected && stream)
			reader_error(reader, "[endpoint %s] stream = %s: expected %s", name, stream,
				     expected);
		else if (expected)
			reader_error(reader, "[endpoint %s]: expected %s", name, expected);
		else
			reader_error(reader, "[endpoint %s]: no memory", name);
	}
}

/* Return what @mode is, if it is no regular file. */
static const char *config_file_kind(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a pipe";
	if (S_ISSOCK(mode))
		return "a socket";
	return "a device";
}

static bool config_file_check(const char *path, const struct stat *status)
{
	if (S_ISREG(status->st_mode))
		return true;
	log_error("%s is %s; expected a regular file, which can be read again at a reload", path,
		  config_file_kind(status->st_mode));
	return false;
}

/*
 * Open a file that can be read without waiting. A pipe would have to be read until its writer ends, a
 * device may have no end, and neither could be read again. They are not even opened: that can have effects.
 *
 * Return: a descriptor, or -1 after an error, which was logged.
 */
static int config_file_open(const char *path)
{
	struct stat status;
	int fd = -1;

	if (stat(path, &status) == 0) {
		if (!config_file_check(path, &status))
			return -1;
		fd = REPEAT_INTERRUPTED(open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	}
	if (fd < 0 || fstat(fd, &status)) {
		log_error("%s: %s; expected a configuration file", path, strerror(errno));
	} else if (config_file_check(path, &status)) {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Make place for more text and a NUL. Return: false without memory. */
static bool reader_grow(struct reader *reader, size_t length, size_t *capacity)
{
	size_t wanted = *capacity ? 2 * *capacity : FIRST_BUFFER_BYTES;
	char *text;

	if (length + 1 < *capacity)
		return true;
	text = realloc(reader->text, wanted);
	if (!text)
		return false;
	reader->text = text;
	*capacity = wanted;
	return true;
}

/*
 * Read all of @fd. Its size is counted meanwhile: files of /proc have none, and others grow.
 *
 * Return: false after an error, which was logged.
 */
static bool reader_load(struct reader *reader, int fd)
{
	size_t length = 0, capacity = 0;
	ssize_t got = 1;

	while (got > 0 && length <= MAX_FILE_BYTES) {
		if (!reader_grow(reader, length, &capacity)) {
			log_error("%s: no memory to read it", reader->path);
			return false;
		}
		got = REPEAT_INTERRUPTED(read(fd, reader->text + length, capacity - length - 1));
		if (got > 0)
			length += (size_t)got;
	}
	if (got < 0) {
		log_error("%s: %s; expected a configuration file", reader->path, strerror(errno));
		return false;
	}
	if (length > MAX_FILE_BYTES) {
		log_error("%s: larger than 4 MiB; expected a configuration file of at most that "
			  "size",
			  reader->path);
		return false;
	}
	reader->next = reader->text;
	reader->end = reader->text + length;
	*reader->end = '\0';
	return true;
}

static bool reader_parse(struct reader *reader)
{
	int result;

	reader->set_on_line = calloc(option_count, sizeof(*reader->set_on_line));
	if (!reader->set_on_line) {
		log_error("%s: no memory to read it", reader->path);
		return false;
	}
	result = ini_parse_stream(reader_read_line, reader, reader_handle_option, reader);
	if (result > 0) {
		reader->line_number = (unsigned int)result;
		reader_error(reader, "expected [section] or key = value");
	} else if (result < 0) {
		log_error("%s: no memory to read it", reader->path);
		reader->errors++;
	}
	free(reader->set_on_line);
	/* Without the other errors, since a section may be unknown for one of them. */
	if (!reader->errors)
		reader_resolve_endpoints(reader);
	return reader->errors == 0;
}

bool config_file_read(struct config *config, const char *path)
{
	struct reader reader = { .config = config, .path = path, .section = NO_SECTION };
	int fd = config_file_open(path);
	bool right;

	if (fd < 0)
		return false;
	right = reader_load(&reader, fd) && reader_parse(&reader);
	close(fd);
	free(reader.text);
	return right;
}

bool config_file_parse(struct config *config, const char *origin, const char *text, size_t length)
{
	struct reader reader = { .config = config, .path = origin, .section = NO_SECTION };
	bool right;

	reader.text = malloc(length + 1);
	if (!reader.text) {
		log_error("%s: no memory to read it", origin);
		return false;
	}
	memcpy(reader.text, text, length);
	reader.text[length] = '\0';
	reader.next = reader.text;
	reader.end = reader.text + length;
	right = reader_parse(&reader);
	free(reader.text);
	return right;
}
