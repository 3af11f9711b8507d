/* SPDX-License-Identifier: BSD-2-Clause */
/* What client.c offers to the other files of a client: its states, its reasons and its deadline. */
#ifndef DMACAST_CLIENT_INTERNAL_H
#define DMACAST_CLIENT_INTERNAL_H

#include "stream/client.h"

#include <stdbool.h>
#include <stdint.h>

/** client_set_state() - advance to @state. The cursor leaves the window behind FINISHING. */
void client_set_state(struct client *client, enum client_state state);

/** client_set_reason() - note why the client leaves. @text: constant text for the log; NULL: that of @reason */
void client_set_reason(struct client *client, enum leave_reason reason, const char *text);

/** client_set_deadline() - let the client expire after this time from now. Return: false without memory. */
bool client_set_deadline(struct client *client, uint64_t microseconds);

/** client_clear_deadline() - let the client not expire. */
void client_clear_deadline(struct client *client);

/** client_fail() - end the client for an error of its connection. @error: an errno */
void client_fail(struct client *client, int error);

/**
 * client_has_failed() - fail a client whose connection has an error, and return true. After the FIN of the peer, recv()
 * does not report a reset.
 */
bool client_has_failed(struct client *client);

/** client_shut_down() - send no more, and advance to CLOSING. The reason must be set. */
void client_shut_down(struct client *client);

/** client_close_in_order() - close a client that nothing is outstanding for. The kernel sends what it has. */
void client_close_in_order(struct client *client);

/** client_free_memory() - free a client that has no connection. */
void client_free_memory(struct client *client);

/** client_watch() - wait for events of the socket, which are reported again, and for the deadline. Return: false without memory. */
bool client_watch(struct client *client);

#endif
