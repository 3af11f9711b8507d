/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's answers as people read them. */
#ifndef DMACAST_CTL_SHOW_H
#define DMACAST_CTL_SHOW_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

struct table;

/** show_headline() - "dmacastd 0.1, pid 12, running for 3h 20m". Return: @line. */
const char *show_headline(const json_t *status, char *line, size_t size);

/** show_totals() - "streams 2, clients 34, in 1.0M/s, out 34.0M/s". Return: @line. */
const char *show_totals(const json_t *status, const json_t *streams, char *line, size_t size);

/** show_status() - a line for each of several things. @streams: with rates */
void show_status(const json_t *status, const json_t *streams, FILE *file);

/** show_streams() - a table, to be freed. @streams: with rates */
struct table *show_streams(const json_t *streams);

/** show_clients() - a table, to be freed. @clients: with rates */
struct table *show_clients(const json_t *clients);

#endif
