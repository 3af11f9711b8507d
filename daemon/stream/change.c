// SPDX-License-Identifier: BSD-2-Clause
#include "stream/change.h"

#include "config/option_table.h"
#include "lib/endpoint.h"
#include "lib/input.h"
#include "lib/resolver.h"
#include "source/acceptor.h"
#include "stream/section.h"
#include "stream/stream.h"
#include "stream/streams.h"

#include <bsd/string.h>

/* Return true if the stream listens on all endpoints of @wanted, as its settings say. */
static bool change_section_listens(const struct stream *stream,
				   const struct section_settings *wanted)
{
	const struct section *section = stream_find_section(stream, wanted->name);

	for (size_t i = 0; i < wanted->listen->count; i++) {
		const char *text = wanted->listen->item[i];

		if (!section || endpoints_number(&section->endpoints, text, wanted->client) <=
					text_list_count(wanted->listen, i, text))
			return false;
	}
	return true;
}

static bool change_has_endpoints(const struct stream *stream, const struct stream_settings *wanted)
{
	bool complete = true;

	for (size_t i = 0; complete && i < stream_settings_sections(wanted); i++) {
		const struct section_settings section = stream_settings_section(wanted, i);

		complete = change_section_listens(stream, &section);
	}
	return complete;
}

/* Append the sections that differ to the names of options that do. Return: true if any differs. */
static bool change_compare_sections(const struct stream *stream,
				    const struct stream_settings *wanted, char *options)
{
	char names[OPTION_NAMES_TEXT];

	if (!option_endpoint_changes(stream_settings(stream), wanted, names))
		return false;
	strlcat(options, *options ? ", " : "", OPTION_NAMES_TEXT);
	strlcat(options, names, OPTION_NAMES_TEXT);
	return true;
}

enum change_kind change_decide(const struct streams *streams, const struct stream_settings *wanted,
			       char *options)
{
	struct stream *running = streams_find(streams, wanted->name);
	const struct stream_settings *settings;
	bool changed;

	if (!running)
		return streams_is_finished(streams, wanted) ? CHANGE_ENDED : CHANGE_OPEN;
	settings = stream_settings(running);
	if (option_changes(OPTION_STREAM, OPTION_EFFECT(OPTION_AT_START), settings, wanted,
			   options))
		return CHANGE_RESTART;
	changed = option_changes(OPTION_STREAM, OPTION_EFFECTS_ALL, settings, wanted, options);
	if (change_compare_sections(running, wanted, options) || changed)
		return CHANGE_ADAPT;
	/* An endpoint could not be opened at the last reload. */
	if (!change_has_endpoints(running, wanted)) {
		strlcpy(options, "listen", OPTION_NAMES_TEXT);
		return CHANGE_ADAPT;
	}
	return CHANGE_NONE;
}

bool change_needs_ring(const struct streams *streams, const struct stream_settings *wanted)
{
	char options[OPTION_NAMES_TEXT];

	return !wanted->device && change_decide(streams, wanted, options) >= CHANGE_RESTART;
}

struct endpoint_search {
	const char *text;
	const struct client_settings *settings;
	bool found;
};

static void change_search_section(void *argument, struct section *section)
{
	struct endpoint_search *search = argument;

	search->found |= endpoints_number(&section->endpoints, search->text, search->settings) > 0;
}

static void change_search_stream(void *argument, struct stream *stream)
{
	stream_each_section(stream, change_search_section, argument);
}

bool change_is_listening(struct streams *streams, const char *text,
			 const struct client_settings *settings)
{
	struct endpoint_search search = { .text = text, .settings = settings };

	/* Port 0 stands for another endpoint each time. */
	if (endpoint_is_same(text, text))
		streams_each_current(streams, change_search_stream, &search);
	return search.found;
}

bool change_needs_name(struct streams *streams, const char *text,
		       const struct client_settings *settings, char *host)
{
	struct resolved resolved;
	struct endpoint endpoint;
	const char *expected;

	if (!endpoint_parse(text, &endpoint, &expected) || endpoint.socket_name ||
	    !endpoint.address.host[0] || resolver_numeric(endpoint.address.host, &resolved))
		return false;
	strlcpy(host, endpoint.address.host, sizeof(endpoint.address.host));
	/* What listens now is kept or handed over. */
	return !change_is_listening(streams, text, settings);
}

bool change_needs_input_name(const struct streams *streams, const struct stream_settings *wanted,
			     char *host)
{
	char options[OPTION_NAMES_TEXT];
	struct resolved resolved;
	const char *expected;
	struct input input;

	if (!wanted->input.first || !input_parse(wanted->input.first, &input, &expected) ||
	    input.kind != INPUT_TCP_LISTEN || !input.address.host[0] ||
	    resolver_numeric(input.address.host, &resolved) ||
	    change_decide(streams, wanted, options) < CHANGE_RESTART)
		return false;
	strlcpy(host, input.address.host, sizeof(input.address.host));
	/* The successor of a stream shares its socket. */
	return !acceptor_is_listening(&input);
}
