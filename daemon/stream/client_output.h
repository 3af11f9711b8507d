/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client gets, and where it begins. client_send() and client_send_metadata() of client.h are here, too:
 * between two blocks they send what is no block (client_aside.h).
 */
#ifndef DMACAST_CLIENT_OUTPUT_H
#define DMACAST_CLIENT_OUTPUT_H

#include "stream/stream_history.h"

#include <stdbool.h>

struct client;
struct client_group;

/** client_find_start() - find where a client begins. @start: NULL: as its section says, which is always found */
enum history_result client_find_start(const struct client_group *group,
				      const struct client_start *start,
				      struct history_answer *answer);

/**
 * client_enter() - enter the window at @place, prepare what goes before the first block, and advance to STREAMING.
 *
 * Return: false without memory.
 */
bool client_enter(struct client *client, const struct history_place *place, bool framed);

#endif
