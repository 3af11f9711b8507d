// SPDX-License-Identifier: BSD-2-Clause
#include "stream/endpoints.h"

#include "lib/endpoint.h"
#include "lib/log.h"
#include "lib/state.h"

#include <stdlib.h>
#include <string.h>

void endpoints_init(struct endpoints *endpoints, struct event_base *base, const char *name,
		    const struct listener_callbacks *callbacks, void *argument)
{
	*endpoints = (struct endpoints){
		.base = base, .name = name, .callbacks = callbacks, .argument = argument
	};
}

void endpoints_init_beside(struct endpoints *endpoints, const struct endpoints *other)
{
	endpoints_init(endpoints, other->base, other->name, other->callbacks, other->argument);
	endpoints->settings = other->settings;
}

bool endpoints_reserve(struct endpoints *endpoints, size_t more)
{
	size_t capacity = endpoints->count + more;
	struct listener **listener;

	if (capacity <= endpoints->capacity)
		return true;
	listener = reallocarray(endpoints->listener, capacity, sizeof(struct listener *));
	if (!listener) {
		log_error("stream %s: no memory for an endpoint", endpoints->name);
		return false;
	}
	endpoints->listener = listener;
	endpoints->capacity = capacity;
	return true;
}

bool endpoints_open(struct endpoints *endpoints, const char *text, enum listen_when when,
		    const struct names *names)
{
	struct listener *listener;

	if (!endpoints_reserve(endpoints, 1))
		return false;
	listener = listener_open(endpoints->base, endpoints->name, text, when, endpoints->settings,
				 names, endpoints->callbacks, endpoints->argument);
	if (listener)
		endpoints->listener[endpoints->count++] = listener;
	return listener;
}

static bool endpoint_matches(const struct listener *listener, const char *text,
			     const struct client_settings *settings)
{
	return !strcmp(listener_endpoint(listener), text) && listener_is_as(listener, settings);
}

size_t endpoints_number(const struct endpoints *endpoints, const char *text,
			const struct client_settings *settings)
{
	size_t number = 0;

	for (size_t i = 0; i < endpoints->count; i++)
		number += endpoint_matches(endpoints->listener[i], text, settings);
	return number;
}

bool endpoints_blocks_port(const struct endpoints *endpoints, const char *text,
			   const struct text_list *wanted, const struct client_settings *settings)
{
	for (size_t i = 0; i < endpoints->count; i++) {
		const struct listener *listener = endpoints->listener[i];
		const char *other = listener_endpoint(listener);

		if (endpoint_shares_port(other, text) &&
		    !(wanted && text_list_count(wanted, wanted->count, other) &&
		      listener_is_as(listener, settings)))
			return true;
	}
	return false;
}

static struct listener *endpoints_take(struct endpoints *endpoints, size_t index)
{
	struct listener *listener = endpoints->listener[index];

	endpoints->count--;
	memmove(&endpoints->listener[index], &endpoints->listener[index + 1],
		(endpoints->count - index) * sizeof(struct listener *));
	return listener;
}

static bool endpoints_move_at(struct endpoints *to, struct endpoints *from, size_t index)
{
	struct listener *listener;

	if (!endpoints_reserve(to, 1))
		return false;
	listener = endpoints_take(from, index);
	listener_hand_over(listener, to->name, to->callbacks, to->argument);
	to->listener[to->count++] = listener;
	return true;
}

bool endpoints_move(struct endpoints *to, struct endpoints *from, const char *text,
		    const struct client_settings *settings)
{
	for (size_t i = 0; i < from->count; i++) {
		if (endpoint_matches(from->listener[i], text, settings))
			return endpoints_move_at(to, from, i);
	}
	return true;
}

bool endpoints_move_all(struct endpoints *to, struct endpoints *from)
{
	while (from->count) {
		if (!endpoints_move_at(to, from, 0))
			return false;
	}
	return true;
}

void endpoints_close_others(struct endpoints *endpoints, const struct text_list *wanted,
			    const struct client_settings *settings)
{
	for (size_t i = endpoints->count; i-- > 0;) {
		const char *text = listener_endpoint(endpoints->listener[i]);
		size_t number = endpoints_number(endpoints, text, settings);

		if (listener_is_as(endpoints->listener[i], settings) &&
		    number <= text_list_count(wanted, wanted->count, text))
			continue;
		log_info("stream %s: no longer listening on %s", endpoints->name, text);
		listener_close(endpoints_take(endpoints, i));
	}
}

static void endpoints_free_list(struct endpoints *endpoints)
{
	free(endpoints->listener);
	endpoints->listener = NULL;
	endpoints->capacity = 0;
}

void endpoints_close_all(struct endpoints *endpoints)
{
	while (endpoints->count)
		listener_close(endpoints->listener[--endpoints->count]);
	endpoints_free_list(endpoints);
}

void endpoints_discard_all(struct endpoints *endpoints)
{
	while (endpoints->count)
		listener_discard(endpoints->listener[--endpoints->count]);
	endpoints_free_list(endpoints);
}

/* ---- handover ---- */

/* Upper bound for the endpoints of a section. Before a reload closes them, there may be others beside the configured. */
#define MAX_SAVED_ENDPOINTS 65536U

void endpoints_save(const struct endpoints *endpoints, struct state *state)
{
	state_list(state, "endpoints", MAX_SAVED_ENDPOINTS);
	for (size_t i = 0; i < endpoints->count; i++) {
		state_item(state);
		listener_save(endpoints->listener[i], state);
		state_leave(state);
	}
	state_list_end(state);
}

static void endpoint_restore(struct endpoints *endpoints, struct state *state)
{
	struct listener *listener;

	if (!endpoints_reserve(endpoints, 1)) {
		state_fail(state, "no memory for an endpoint");
		return;
	}
	listener = listener_restore(endpoints->base, endpoints->name, endpoints->callbacks,
				    endpoints->argument, state);
	if (listener)
		endpoints->listener[endpoints->count++] = listener;
}

void endpoints_restore(struct endpoints *endpoints, struct state *state)
{
	state_list(state, "endpoints", MAX_SAVED_ENDPOINTS);
	while (state_next_item(state))
		endpoint_restore(endpoints, state);
}
