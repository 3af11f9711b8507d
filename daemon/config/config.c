// SPDX-License-Identifier: BSD-2-Clause
#include "config/config.h"

#include "config/option_table.h"
#include "config/quote.h"
#include "lib/log.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SECTION_NAME 32

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	option_set_defaults(OPTION_DAEMON, &config->daemon);
}

static bool is_section_name(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strlen(name);

	return length && length <= MAX_SECTION_NAME && strspn(name, allowed) == length;
}

static struct stream_settings *config_find_stream(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->stream_count; i++) {
		if (!strcmp(config->streams[i].name, name))
			return &config->streams[i];
	}
	return NULL;
}

static bool config_has_endpoint(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->endpoint_count; i++) {
		if (!strcmp(config->endpoints[i].settings.name, name))
			return true;
	}
	return false;
}

/*
 * Return a copy of a new section's name; NULL with @expected as of config_add_stream().
 * @taken: another section of this kind has the name
 * @form, @once: what would be right, for a malformed name and for one that is taken
 */
static char *copy_section_name(const char *name, bool taken, const char *form, const char *once,
			       const char **expected)
{
	*expected = is_section_name(name) ? once : form;
	if (taken || !is_section_name(name))
		return NULL;
	*expected = NULL;
	return strdup(name);
}

static char *copy_stream_name(const struct config *config, const char *name, const char **expected)
{
	return copy_section_name(name, config_find_stream(config, name),
				 "a stream name of 1 to 32 letters, digits, '.', '_' or '-'",
				 "each stream once, under a name of its own", expected);
}

static char *copy_endpoint_name(const struct config *config, const char *name,
				const char **expected)
{
	return copy_section_name(name, config_has_endpoint(config, name),
				 "an endpoint name of 1 to 32 letters, digits, '.', '_' or '-'",
				 "each endpoint once, under a name of its own", expected);
}

struct config_endpoint *config_add_endpoint(struct config *config, const char *name,
					    const char **expected)
{
	struct config_endpoint endpoint = { .settings.name =
						    copy_endpoint_name(config, name, expected) };
	struct config_endpoint *endpoints;

	if (endpoint.settings.name && config->endpoint_count == MAX_ENDPOINTS) {
		*expected = "at most " TEXT(MAX_ENDPOINTS) " endpoints";
		free(endpoint.settings.name);
		return NULL;
	}
	if (!endpoint.settings.name)
		return NULL;
	endpoints = reallocarray(config->endpoints, config->endpoint_count + 1,
				 sizeof(struct config_endpoint));
	if (endpoints)
		config->endpoints = endpoints;
	endpoint.is_set = calloc(option_count, sizeof(*endpoint.is_set));
	if (!endpoints || !endpoint.is_set) {
		free(endpoint.is_set);
		free(endpoint.settings.name);
		return NULL;
	}
	endpoints += config->endpoint_count++;
	*endpoints = endpoint;
	return endpoints;
}

bool config_resolve_endpoint(struct config *config, struct config_endpoint *endpoint,
			     const char **expected)
{
	struct endpoint_settings *settings = &endpoint->settings;
	struct stream_settings *stream;

	*expected = "stream = NAME, the stream that its clients receive";
	if (!settings->stream)
		return false;
	stream = config_find_stream(config, settings->stream);
	*expected = "the name of a stream of this file";
	if (!stream)
		return false;
	*expected = "at least one listen = HOST:PORT";
	if (!settings->listen.count)
		return false;
	*expected = NULL;
	if (!option_inherit(settings, stream, endpoint->is_set) ||
	    !stream_settings_add_endpoint(stream, settings))
		return false;
	*settings = (struct endpoint_settings){ 0 };
	return true;
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
	const char *input = stream->input.first;

	if (input && !quote_fits_line("input", input))
		log_warning("stream %s: input = %.200s...: too long for a file; put the command "
			    "into a script",
			    stream->name, input);
}

static void config_print_section(enum option_scope scope, const void *settings, FILE *file)
{
	for (size_t i = 0; i < option_count; i++) {
		if (option_is_in(&option_table[i], scope))
			option_print(&option_table[i], scope, settings, file);
	}
}

static void config_print_endpoints(const struct stream_settings *stream, FILE *file)
{
	for (size_t i = 0; i < stream->endpoint_count; i++) {
		fprintf(file, "\n[endpoint %s]\n", stream->endpoints[i].name);
		config_print_section(OPTION_ENDPOINT, &stream->endpoints[i], file);
	}
}

void config_print(const struct config *config, FILE *file)
{
	fprintf(file, "[daemon]\n");
	config_print_section(OPTION_DAEMON, &config->daemon, file);
	for (size_t i = 0; i < config->stream_count; i++) {
		fprintf(file, "\n[stream %s]\n", config->streams[i].name);
		config_print_section(OPTION_STREAM, &config->streams[i], file);
		config_print_endpoints(&config->streams[i], file);
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

static void config_free_endpoints(struct config *config)
{
	while (config->endpoint_count) {
		struct config_endpoint *endpoint = &config->endpoints[--config->endpoint_count];

		endpoint_settings_clear(&endpoint->settings);
		free(endpoint->is_set);
	}
	free(config->endpoints);
	config->endpoints = NULL;
}

void config_free(struct config *config)
{
	config_free_endpoints(config);
	daemon_settings_clear(&config->daemon);
	config_free_streams(config);
}
