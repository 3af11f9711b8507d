/* SPDX-License-Identifier: BSD-2-Clause */
/* The endpoints of one stream. They can be handed over, without a moment when nobody listens. */
#ifndef DMACAST_ENDPOINTS_H
#define DMACAST_ENDPOINTS_H

#include "lib/settings.h"
#include "stream/listener.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;

struct endpoints {
	struct event_base *base;
	const char *name; /* of the stream */
	struct listener_owner owner;
	struct listener **listener;
	size_t count;
};

/** endpoints_init() - none. @name: must outlive them */
void endpoints_init(struct endpoints *endpoints, struct event_base *base, const char *name,
		    const struct listener_owner *owner);

/** endpoints_init_beside() - start without endpoints, for the same stream as @other. */
void endpoints_init_beside(struct endpoints *endpoints, const struct endpoints *other);

/** endpoints_open() - one more. Return: false after an error, which was logged. */
bool endpoints_open(struct endpoints *endpoints, const char *text);

/** endpoints_number() - how many there are that were opened with this text. */
size_t endpoints_number(const struct endpoints *endpoints, const char *text);

/**
 * endpoints_blocks_port() - return true if an endpoint shares its port with @text, so that @text cannot
 * be opened beside it.
 * @wanted: endpoints that do not count; NULL: none
 */
bool endpoints_blocks_port(const struct endpoints *endpoints, const char *text,
			   const struct text_list *wanted);

/** endpoints_move() - hand one of this text over, if @from has one. Return: false without memory. */
bool endpoints_move(struct endpoints *to, struct endpoints *from, const char *text);

/** endpoints_move_all() - hand all over. Return: false without memory. */
bool endpoints_move_all(struct endpoints *to, struct endpoints *from);

/** endpoints_close_others() - close those that are not in @wanted. */
void endpoints_close_others(struct endpoints *endpoints, const struct text_list *wanted);

/** endpoints_close_all() - there are none after that. */
void endpoints_close_all(struct endpoints *endpoints);

/** text_list_number() - how many items before @end are this text. */
size_t text_list_number(const struct text_list *list, size_t end, const char *text);

#endif
