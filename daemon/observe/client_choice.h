/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clients that a viewer wants to see: the first few in some order, of all or of one stream. Finding them takes
 * time proportional to the number of clients, but no memory, and reporting them does not depend on it.
 */
#ifndef DMACAST_CLIENT_CHOICE_H
#define DMACAST_CLIENT_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Clients that can be chosen, as in a page of the control socket. */
#define MAX_CHOSEN_CLIENTS 250U
/* Length of a text to search for, and of a stream's name. */
#define CHOICE_TEXT 128U
/* Enough for every text that client_choice_format() writes. */
#define CHOICE_KIND (2 * CHOICE_TEXT + 64)

struct client;
struct streams;

enum client_order {
	ORDER_LAG, /* age of the current block, then bytes behind */
	ORDER_PINNED,
	ORDER_DROPPED,
	ORDER_SENT,
	ORDER_CONNECTED, /* time since it joined */
	ORDER_PEER,
	CLIENT_ORDERS
};

struct client_choice {
	enum client_order order;
	bool ascending;
	unsigned int limit;	  /* up to MAX_CHOSEN_CLIENTS */
	char stream[CHOICE_TEXT]; /* "": all */
	char find[CHOICE_TEXT];	  /* part of the address, the endpoint or its section; "": all */
};

/**
 * client_choice_set() - set a parameter from its text.
 * @name: limit, sort, order, stream or find
 * @expected: out: on failure, what would be right
 */
bool client_choice_set(struct client_choice *choice, const char *name, const char *value,
		       const char **expected);

/** client_choice_format() - write a text that only the same choice has. Return: @text. */
const char *client_choice_format(const struct client_choice *choice, char text[CHOICE_KIND]);

struct chosen_client {
	const struct client *client;
	const char *stream; /* its name */
	uint64_t value, second_value;
};

struct chosen_clients {
	struct chosen_client client[MAX_CHOSEN_CLIENTS]; /* in their order */
	unsigned int count;
	uint64_t matching; /* clients that the limit would be chosen from */
};

/** client_choice_find() - find the clients; the result is valid until one of them leaves. @now_ns: monotonic */
void client_choice_find(const struct client_choice *choice, const struct streams *streams,
			uint64_t now_ns, struct chosen_clients *chosen);

#endif
