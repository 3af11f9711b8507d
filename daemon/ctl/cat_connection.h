/* SPDX-License-Identifier: BSD-2-Clause */
/* One non-blocking TCP connection to a server: connect, send a request, receive. */
#ifndef DMACAST_CAT_CONNECTION_H
#define DMACAST_CAT_CONNECTION_H

#include "lib/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CAT_CONNECTION_ERROR 512

struct cat_connection;

/**
 * cat_connection_open() - begin to connect to the addresses of a name, one after the other. The name is resolved
 * first, which may block.
 * @request: sent first; taken over, to be freed by free(); NULL: nothing is sent
 * @error: out: on failure, the reason
 *
 * Return: NULL if there is no address or no memory.
 */
struct cat_connection *cat_connection_open(const struct address *address, char *request,
					   char error[CAT_CONNECTION_ERROR]);

/** cat_connection_fd() - return the descriptor for poll(). It changes with each address that is tried. */
int cat_connection_fd(const struct cat_connection *connection);

/** cat_connection_events() - return the events to wait for. */
short cat_connection_events(const struct cat_connection *connection);

/** cat_connection_is_ready() - return true if the connection is made and the request is sent. */
bool cat_connection_is_ready(const struct cat_connection *connection);

/**
 * cat_connection_advance() - connect and send what is possible without waiting.
 * @error: out: on failure, the reason
 *
 * Return: false if no address can be connected to.
 */
bool cat_connection_advance(struct cat_connection *connection, char error[CAT_CONNECTION_ERROR]);

/**
 * cat_connection_next_address() - give up an address that does not answer.
 *
 * Return: false if it was the last one.
 */
bool cat_connection_next_address(struct cat_connection *connection,
				 char error[CAT_CONNECTION_ERROR]);

/** cat_connection_receive() - receive like recv(), without waiting. */
ssize_t cat_connection_receive(struct cat_connection *connection, void *buffer, size_t size);

/** cat_connection_close() - close the connection; NULL is allowed. */
void cat_connection_close(struct cat_connection *connection);

#endif
