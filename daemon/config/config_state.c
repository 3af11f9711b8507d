// SPDX-License-Identifier: BSD-2-Clause
#include "config/config_state.h"

#include "config/config.h"
#include "config/config_check.h"
#include "config/config_file.h"
#include "config/option_table.h"
#include "lib/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORIGIN "handed-over settings"

/* Upper bound for the text of one stream and its sections, and for its input, in bytes. */
#define MAX_TEXT_BYTES ((size_t)4 << 20)
#define MAX_INPUT_BYTES ((size_t)2 << 20)

/* The name of a stream that exists only to have a section. */
#define STREAM_OF_CLIENTS "clients"

/* Return: the text, for the caller to free; NULL without memory. */
static char *config_state_print(const struct stream_settings *settings, size_t *length)
{
	struct config config;
	char *text = NULL;
	FILE *file = open_memstream(&text, length);

	if (!file)
		return NULL;
	config_init(&config);
	config.streams = (struct stream_settings *)(uintptr_t)settings;
	config.stream_count = 1;
	config_print(&config, file);
	daemon_settings_clear(&config.daemon);
	if (!fclose(file))
		return text;
	free(text);
	return NULL;
}

/* Return: NULL after an error, which was logged. */
static struct stream_settings *config_state_parse(const char *text, size_t length,
						  const char *input, bool check)
{
	struct stream_settings *settings = NULL;
	struct config config;

	config_init(&config);
	if (config_file_parse(&config, ORIGIN, text, length) && config.stream_count == 1) {
		if (input) {
			free(config.streams->input.first);
			config.streams->input.first = strdup(input);
		}
		if (!check || config_check(&config, ORIGIN))
			settings = stream_settings_copy(config.streams);
	}
	config_free(&config);
	return settings;
}

/* Return the input that is saved beside the text; NULL: none is, because an origin's fits into a line. */
static const char *config_state_input(const struct stream_settings *settings)
{
	return settings->input.others.count ? NULL : settings->input.first;
}

/* Return true if the text means the same settings. */
static bool config_state_is_right(const struct stream_settings *settings, const char *text,
				  size_t length)
{
	struct stream_settings *read =
		config_state_parse(text, length, config_state_input(settings), true);
	char options[OPTION_NAMES_TEXT];
	bool right = read && !strcmp(read->name, settings->name) &&
		     !option_changes(OPTION_STREAM, OPTION_EFFECTS_ALL, settings, read, options) &&
		     !option_endpoint_changes(settings, read, options);

	stream_settings_free(read);
	return right;
}

/* @input: NULL: none */
static void config_state_save_input(const char *input, struct state *state)
{
	unsigned char *bytes = (unsigned char *)(uintptr_t)input;
	size_t length = input ? strlen(input) : 0;

	state_bytes(state, "input", &bytes, &length, MAX_INPUT_BYTES);
}

void config_state_save_stream(const struct stream_settings *settings, struct state *state)
{
	/* A command line can have an input that is too long for a line of a file. */
	struct stream_settings without_input = *settings;
	size_t length = 0;
	char *text;

	if (!settings->input.others.count)
		without_input.input.first = NULL;
	text = config_state_print(&without_input, &length);
	if (!text)
		state_fail(state, "no memory for the settings of stream %s", settings->name);
	else if (!config_state_is_right(settings, text, length))
		state_fail(state, "the settings of stream %s cannot be written as a file",
			   settings->name);
	state_enter(state, "settings");
	state_bytes(state, "text", (unsigned char **)(void *)&text, &length, MAX_TEXT_BYTES);
	config_state_save_input(config_state_input(settings), state);
	state_leave(state);
	free(text);
}

/* Return: the bytes with a NUL behind them, for the caller to free; NULL: there are none, or the state failed. */
static char *config_state_read_text(struct state *state, const char *name, size_t *length,
				    size_t most)
{
	unsigned char *bytes = NULL;
	char *text;

	*length = 0;
	state_bytes(state, name, &bytes, length, most);
	if (state_failed(state) || !*length)
		return NULL;
	text = strndup((const char *)bytes, *length);
	if (!text)
		state_fail(state, "%s: no memory", name);
	free(bytes);
	return text;
}

struct stream_settings *config_state_restore_stream(struct state *state)
{
	struct stream_settings *settings = NULL;
	size_t length, input_length;
	char *text, *input;

	state_enter(state, "settings");
	text = config_state_read_text(state, "text", &length, MAX_TEXT_BYTES);
	input = config_state_read_text(state, "input", &input_length, MAX_INPUT_BYTES);
	if (text && !state_failed(state))
		settings = config_state_parse(text, strlen(text), input, true);
	if (!settings)
		state_fail(state, "the settings of a stream are not valid in this version");
	state_leave(state);
	free(text);
	free(input);
	return settings;
}

/* ---- a section by itself ---- */

void config_state_save_clients(const char *name, const struct client_settings *settings,
			       struct state *state)
{
	char *listen[] = { (char *)(uintptr_t) ":1" };
	struct endpoint_settings endpoint = {
		.name = (char *)(uintptr_t)name,
		.stream = (char *)(uintptr_t)STREAM_OF_CLIENTS,
		.listen = { .item = listen, .count = 1 },
		.client = *settings,
	};
	struct stream_settings stream;
	size_t length = 0;
	char *text;

	memset(&stream, 0, sizeof(stream));
	option_set_defaults(OPTION_STREAM, &stream);
	stream.name = (char *)(uintptr_t)STREAM_OF_CLIENTS;
	stream.endpoints = &endpoint;
	stream.endpoint_count = 1;
	text = config_state_print(&stream, &length);
	if (!text)
		state_fail(state, "no memory for the settings of endpoint %s", name);
	state_bytes(state, "settings", (unsigned char **)(void *)&text, &length, MAX_TEXT_BYTES);
	stream.name = NULL;
	stream.endpoints = NULL;
	stream.endpoint_count = 0;
	stream_settings_clear(&stream);
	free(text);
}

bool config_state_restore_clients(struct client_settings *settings, struct state *state)
{
	size_t length;
	char *text = config_state_read_text(state, "settings", &length, MAX_TEXT_BYTES);
	struct stream_settings *stream = NULL;

	if (text)
		stream = config_state_parse(text, strlen(text), NULL, false);
	free(text);
	if (!stream || stream->endpoint_count != 1) {
		state_fail(state, "the settings of an endpoint are not valid in this version");
		stream_settings_free(stream);
		return false;
	}
	*settings = stream->endpoints[0].client;
	settings->congestion = NULL;
	settings->interface = NULL;
	settings->access = (struct access_list){ 0 };
	stream_settings_free(stream);
	return true;
}
