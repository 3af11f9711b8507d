// SPDX-License-Identifier: BSD-2-Clause
#include "lib/settings.h"

#include <stdlib.h>
#include <string.h>

static bool settings_copy_text(char **copy, const char *text)
{
	*copy = text ? strdup(text) : NULL;
	return *copy || !text;
}

static bool settings_copy_list(struct text_list *copy, const struct text_list *list)
{
	*copy = (struct text_list){ 0 };
	if (!list->count)
		return true;
	copy->item = reallocarray(NULL, list->count, sizeof(*copy->item));
	while (copy->item && copy->count < list->count &&
	       settings_copy_text(&copy->item[copy->count], list->item[copy->count]))
		copy->count++;
	return copy->count == list->count;
}

static void settings_free_list(struct text_list *list)
{
	while (list->count)
		free(list->item[--list->count]);
	free(list->item);
}

size_t text_list_count(const struct text_list *list, size_t end, const char *text)
{
	size_t count = 0;

	for (size_t i = 0; i < end; i++)
		count += !strcmp(list->item[i], text);
	return count;
}

static bool settings_copy_client(struct client_settings *copy,
				 const struct client_settings *settings)
{
	bool complete;

	*copy = *settings;
	complete = settings_copy_text(&copy->congestion, settings->congestion);
	complete &= settings_copy_text(&copy->interface, settings->interface);
	complete &= access_list_copy(&copy->access, &settings->access);
	return complete;
}

static bool settings_copy_endpoint(struct endpoint_settings *copy,
				   const struct endpoint_settings *settings)
{
	bool complete;

	*copy = *settings;
	complete = settings_copy_text(&copy->name, settings->name);
	complete &= settings_copy_text(&copy->stream, settings->stream);
	complete &= settings_copy_list(&copy->listen, &settings->listen);
	complete &= settings_copy_client(&copy->client, &settings->client);
	return complete;
}

static bool settings_copy_endpoints(struct stream_settings *copy,
				    const struct stream_settings *settings)
{
	copy->endpoint_count = 0;
	copy->endpoints = NULL;
	if (!settings->endpoint_count)
		return true;
	copy->endpoints = calloc(settings->endpoint_count, sizeof(*copy->endpoints));
	if (!copy->endpoints)
		return false;
	while (copy->endpoint_count < settings->endpoint_count) {
		size_t i = copy->endpoint_count++;

		if (!settings_copy_endpoint(&copy->endpoints[i], &settings->endpoints[i]))
			return false;
	}
	return true;
}

struct stream_settings *stream_settings_copy(const struct stream_settings *settings)
{
	struct stream_settings *copy = malloc(sizeof(*copy));
	bool complete;

	if (!copy)
		return NULL;
	*copy = *settings;
	/* All of them, also after a failure: no pointer of @settings may stay in the copy. */
	complete = settings_copy_text(&copy->name, settings->name);
	complete &= settings_copy_text(&copy->input.first, settings->input.first);
	complete &= settings_copy_list(&copy->input.others, &settings->input.others);
	complete &= settings_copy_text(&copy->device, settings->device);
	complete &= settings_copy_text(&copy->preamble.path, settings->preamble.path);
	complete &= settings_copy_list(&copy->listen, &settings->listen);
	complete &= settings_copy_list(&copy->meta, &settings->meta);
	complete &= settings_copy_client(&copy->client, &settings->client);
	complete &= settings_copy_endpoints(copy, settings);
	if (complete)
		return copy;
	stream_settings_free(copy);
	return NULL;
}

void client_settings_clear(struct client_settings *settings)
{
	free(settings->congestion);
	free(settings->interface);
	access_list_clear(&settings->access);
	*settings = (struct client_settings){ 0 };
}

void endpoint_settings_clear(struct endpoint_settings *settings)
{
	free(settings->name);
	free(settings->stream);
	settings_free_list(&settings->listen);
	client_settings_clear(&settings->client);
	*settings = (struct endpoint_settings){ 0 };
}

void stream_settings_clear(struct stream_settings *settings)
{
	free(settings->name);
	free(settings->input.first);
	settings_free_list(&settings->input.others);
	free(settings->device);
	free(settings->preamble.path);
	settings_free_list(&settings->listen);
	settings_free_list(&settings->meta);
	client_settings_clear(&settings->client);
	while (settings->endpoint_count)
		endpoint_settings_clear(&settings->endpoints[--settings->endpoint_count]);
	free(settings->endpoints);
	*settings = (struct stream_settings){ 0 };
}

bool stream_settings_add_endpoint(struct stream_settings *settings,
				  const struct endpoint_settings *endpoint)
{
	struct endpoint_settings *endpoints =
		reallocarray(settings->endpoints, settings->endpoint_count + 1,
			     sizeof(struct endpoint_settings));

	if (!endpoints)
		return false;
	endpoints[settings->endpoint_count++] = *endpoint;
	settings->endpoints = endpoints;
	return true;
}

const struct endpoint_settings *
stream_settings_find_endpoint(const struct stream_settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->endpoint_count; i++) {
		if (!strcmp(settings->endpoints[i].name, name))
			return &settings->endpoints[i];
	}
	return NULL;
}

struct section_settings stream_settings_section(const struct stream_settings *settings,
						size_t index)
{
	const struct endpoint_settings *endpoint;

	if (!index)
		return (struct section_settings){
			.listen = &settings->listen,
			.when = (enum listen_when)settings->listen_when,
			.client = &settings->client,
		};
	endpoint = &settings->endpoints[index - 1];
	return (struct section_settings){
		.name = endpoint->name,
		.listen = &endpoint->listen,
		.when = (enum listen_when)endpoint->listen_when,
		.client = &endpoint->client,
	};
}

bool stream_settings_listens_on(const struct stream_settings *settings, const char *text)
{
	bool found = false;

	for (size_t i = 0; !found && i < stream_settings_sections(settings); i++) {
		const struct text_list *listen = stream_settings_section(settings, i).listen;

		found = text_list_count(listen, listen->count, text);
	}
	return found;
}

uint64_t stream_settings_max_clients(const struct stream_settings *settings)
{
	uint64_t clients = stream_settings_listens(settings) ? settings->client.max_clients : 0;

	for (size_t i = 0; i < settings->endpoint_count; i++)
		clients += settings->endpoints[i].client.max_clients;
	return clients;
}

bool stream_settings_only_blocks(const struct stream_settings *settings)
{
	bool blocks = !stream_settings_listens(settings) ||
		      settings->client.lag_policy == LAG_POLICY_BLOCK;

	for (size_t i = 0; blocks && i < settings->endpoint_count; i++)
		blocks = settings->endpoints[i].client.lag_policy == LAG_POLICY_BLOCK;
	return blocks;
}

bool stream_settings_forward_input(const struct stream_settings *settings)
{
	bool forwards =
		stream_settings_listens(settings) && settings->client.input == CLIENT_INPUT_SOURCE;

	for (size_t i = 0; !forwards && i < settings->endpoint_count; i++)
		forwards = settings->endpoints[i].client.input == CLIENT_INPUT_SOURCE;
	return forwards;
}

void stream_settings_free(struct stream_settings *settings)
{
	if (settings)
		stream_settings_clear(settings);
	free(settings);
}

void daemon_settings_clear(struct daemon_settings *settings)
{
	free(settings->control);
	free(settings->metrics);
	*settings = (struct daemon_settings){ 0 };
}

static void exchange_bytes(void *a, void *b, size_t first, size_t end)
{
	unsigned char *one = a, *other = b;

	for (size_t i = first; i < end; i++) {
		unsigned char byte = one[i];

		one[i] = other[i];
		other[i] = byte;
	}
}

void stream_settings_adapt(struct stream_settings *settings, struct stream_settings *wanted)
{
	exchange_bytes(settings, wanted, STREAM_SETTINGS_FIXED, sizeof(*settings));
}

void daemon_settings_adapt(struct daemon_settings *settings, struct daemon_settings *wanted)
{
	exchange_bytes(settings, wanted, DAEMON_SETTINGS_FIXED, sizeof(*settings));
}
