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

struct stream_settings *stream_settings_copy(const struct stream_settings *settings)
{
	struct stream_settings *copy = malloc(sizeof(*copy));
	bool complete;

	if (!copy)
		return NULL;
	*copy = *settings;
	/* All of them, also after a failure: no pointer of @settings may stay in the copy. */
	complete = settings_copy_text(&copy->name, settings->name);
	complete &= settings_copy_text(&copy->input, settings->input);
	complete &= settings_copy_text(&copy->device, settings->device);
	complete &= settings_copy_list(&copy->listen, &settings->listen);
	complete &= settings_copy_list(&copy->meta, &settings->meta);
	if (complete)
		return copy;
	stream_settings_free(copy);
	return NULL;
}

void stream_settings_clear(struct stream_settings *settings)
{
	free(settings->name);
	free(settings->input);
	free(settings->device);
	settings_free_list(&settings->listen);
	settings_free_list(&settings->meta);
	*settings = (struct stream_settings){ 0 };
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
