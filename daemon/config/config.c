// SPDX-License-Identifier: BSD-2-Clause
#include "config/config.h"

#include "config/config_file.h"
#include "config/option_table.h"
#include "lib/log.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_NAME_MAX 32

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

/* A command line can say what a file cannot. */
static void warn_of_input(const struct stream_settings *stream)
{
	const char *input = stream->input;

	if (input && !config_file_can_hold("input", input))
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
