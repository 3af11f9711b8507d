/* SPDX-License-Identifier: BSD-2-Clause */
/* The endpoints of one section of a stream. They can be moved to another one without an interruption. */
#ifndef DMACAST_ENDPOINTS_H
#define DMACAST_ENDPOINTS_H

#include "lib/settings.h"
#include "stream/listener.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct names;
struct state;

struct endpoints {
	struct event_base *base;
	const char *name;			/* of the stream and the section, for the log */
	const struct client_settings *settings; /* set by the owner; see listener_open() */
	const struct listener_callbacks *callbacks;
	void *argument; /* of the callbacks */
	struct listener **listener;
	size_t count;
	size_t capacity; /* of `listener`, in items */
};

/** endpoints_init() - start without endpoints. @name: must outlive them */
void endpoints_init(struct endpoints *endpoints, struct event_base *base, const char *name,
		    const struct listener_callbacks *callbacks, void *argument);

/** endpoints_init_beside() - start without endpoints, for the same section as @other. */
void endpoints_init_beside(struct endpoints *endpoints, const struct endpoints *other);

/**
 * endpoints_reserve() - allocate memory for @more endpoints, so that this many moves to @endpoints cannot
 * fail. Return: false without memory, which was logged.
 */
bool endpoints_reserve(struct endpoints *endpoints, size_t more);

/**
 * endpoints_open() - open an endpoint, as listener_open() does.
 * @names: has the host of @text, if that is a name
 *
 * Return: false after an error, which was logged.
 */
bool endpoints_open(struct endpoints *endpoints, const char *text, enum listen_when when,
		    const struct names *names);

/** endpoints_number() - return the number of endpoints that were opened with this text, as @settings say. */
size_t endpoints_number(const struct endpoints *endpoints, const char *text,
			const struct client_settings *settings);

/**
 * endpoints_blocks_port() - return true if an endpoint shares its port with @text, so that @text cannot
 * be opened beside it.
 * @wanted, @settings: endpoints that do not count; NULL: none
 */
bool endpoints_blocks_port(const struct endpoints *endpoints, const char *text,
			   const struct text_list *wanted, const struct client_settings *settings);

/** endpoints_move() - move one that endpoints_number() counts, if there is any. Return: false without memory. */
bool endpoints_move(struct endpoints *to, struct endpoints *from, const char *text,
		    const struct client_settings *settings);

/** endpoints_move_all() - move all endpoints. Return: false without memory. */
bool endpoints_move_all(struct endpoints *to, struct endpoints *from);

/** endpoints_close_others() - close endpoints that are not in @wanted, or not as @settings say. */
void endpoints_close_others(struct endpoints *endpoints, const struct text_list *wanted,
			    const struct client_settings *settings);

/** endpoints_close_all() - close all endpoints. */
void endpoints_close_all(struct endpoints *endpoints);

/** endpoints_discard_all() - the same, but report nothing. */
void endpoints_discard_all(struct endpoints *endpoints);

/** endpoints_save() - save all endpoints; see state.h. */
void endpoints_save(const struct endpoints *endpoints, struct state *state);

/** endpoints_restore() - make the endpoints that were saved. @endpoints: without endpoints */
void endpoints_restore(struct endpoints *endpoints, struct state *state);

#endif
