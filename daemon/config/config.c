// SPDX-License-Identifier: BSD-2-Clause
#include "config/config.h"

#include "config/config_file.h"
#include "config/option_table.h"
#include "lib/log.h"

#include <stdlib.h>
#include <string.h>

#define MAX_STREAM_NAME 32

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	option_set_defaults(OPTION_DAEMON, &config->daemon);
}

static bool is_stream_name(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strlen(name);

	return length && length <= MAX_STREAM_NAME && strspn(name, allowed) == length;
}

/* Return a copy of a new stream's name, or NULL with @expected as of config_add_stream(). */
static char *copy_stream_name(const struct config *config, const char *name, const char **expected)
{
	*expected = "a stream name of 1 to 32 letters, digits, '.', '_' or '-'";
	if (!is_stream_name(name))
		return NULL;
	*expected = "each stream once, under a name of its own";
	for (size_t i = 0; i < config->stream_count; i++) {
		if (!strcmp(config->streams[i].name, name))
			return NULL;
	}
	*expected = NULL;
	return strdup(name);
}

struct stream_settings *config_add_stream(struct config *config, const char *name,
					  const char **expected)
{
	char *copy = copy_stream_name(config, name, expected);
	struct stream_settings *streams;

	if (copy && config->stream_count == MAX_STREAMS) {
		*expected = "at most " TEXT(MAX_STREAMS) " streams";
		free(copy);
		return NULL;
	}
	if (!copy)
		return NULL;
	streams = reallocarray(config->streams, config->stream_count + 1, sizeof(*streams));
	if (!streams) {
		free(copy);
		return NULL;
	}
	config->streams = streams;
	streams += config->stream_count++;
	*streams = (struct stream_settings){ .name = copy };
	option_set_defaults(OPTION_STREAM, streams);
	return streams;
}

bool config_rename_stream(struct config *config, struct stream_settings *stream, const char *name,
			  const char **expected)
{
	char *copy;

	if (!strcmp(stream->name, name))
		return true;
	copy = copy_stream_name(config, name, expected);
	if (!copy)
		return false;
	free(stream->name);
	stream->name = copy;
	return true;
}

/* A command line can set values that a file cannot hold. */
static void config_warn_of_input(const struct stream_settings *stream)
{
	const char *input = stream->input;

	if (input && !config_file_can_hold("input", input))
		log_warning("stream %s: input = %.200s...: too long for a file; put the command "
			    "into a script",
			    stream->name, input);
}

static void config_print_section(enum option_scope scope, const void *settings, FILE *file)
{
	for (size_t i = 0; i < option_count; i++) {
		if (option_table[i].scope == scope)
			option_print(&option_table[i], settings, file);
	}
}

void config_print(const struct config *config, FILE *file)
{
	fprintf(file, "[daemon]\n");
	config_print_section(OPTION_DAEMON, &config->daemon, file);
	for (size_t i = 0; i < config->stream_count; i++) {
		fprintf(file, "\n[stream %s]\n", config->streams[i].name);
		config_print_section(OPTION_STREAM, &config->streams[i], file);
		config_warn_of_input(&config->streams[i]);
	}
}

static void config_free_streams(struct config *config)
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
	config_free_streams(config);
	config->streams = from->streams;
	config->stream_count = from->stream_count;
	from->streams = NULL;
	from->stream_count = 0;
}

void config_free(struct config *config)
{
	daemon_settings_clear(&config->daemon);
	config_free_streams(config);
}
