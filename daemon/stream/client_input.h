/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the peer of a client sends: discarded, or passed on to the source (stream_input.h); and the end of that. A
 * request is read before, by client_request.c.
 */
#ifndef DMACAST_CLIENT_INPUT_H
#define DMACAST_CLIENT_INPUT_H

#include <stdbool.h>

struct client;

/** client_begin_forwarding() - let what the peer sends go to the source, if the settings say so. */
void client_begin_forwarding(struct client *client);

/** client_end_forwarding() - forward no more. What was not read for the source is discarded. */
void client_end_forwarding(struct client *client);

/**
 * client_handle_input() - read or discard what the peer has sent, and notice its end.
 * @ready: as of client_poll()
 *
 * Return: false if the connection has ended.
 */
bool client_handle_input(struct client *client, int ready);

#endif
