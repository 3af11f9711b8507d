/* SPDX-License-Identifier: BSD-2-Clause */
/* The first connection of a program to NATS. */
#ifndef DMACAST_NATS_DIAL_H
#define DMACAST_NATS_DIAL_H

#include "nats/nats_server.h"

#include <stdbool.h>

struct cat_report;

/**
 * nats_dial() - connect to a server, and report why that is not possible.
 * @wait: try again and again while no server can be reached
 *
 * Return: NULL after an error, which was reported, or a signal.
 */
struct nats_server *nats_dial(const struct nats_server_options *options, bool wait,
			      struct cat_report *report);

/** nats_dial_print() - print which server it is, and the limits of the connection. */
void nats_dial_print(struct nats_server *server);

#endif
