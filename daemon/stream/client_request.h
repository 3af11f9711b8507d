/* SPDX-License-Identifier: BSD-2-Clause */
/* The states REQUESTING and ANSWERING of an HTTP client: its request is read, and decides what it gets. */
#ifndef DMACAST_CLIENT_REQUEST_H
#define DMACAST_CLIENT_REQUEST_H

#include <stdbool.h>

struct client;

/** client_begin_request() - wait for a request, with a deadline. Return: false without memory. */
bool client_begin_request(struct client *client);

/**
 * client_read_request() - read up to the end of the request, or of what has come. Then the client is in STREAMING or
 * ANSWERING, or its connection has ended.
 */
void client_read_request(struct client *client);

/** client_expire_request() - answer that the time for the request is over. */
void client_expire_request(struct client *client);

#endif
