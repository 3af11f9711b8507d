/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's answers as text. */
#ifndef DMACAST_CTL_SHOW_H
#define DMACAST_CTL_SHOW_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

struct table;

/** show_headline() - write "dmacastd 0.1, pid 12, running, up 3h 20m". Return: @line. */
const char *show_headline(const json_t *status, char *line, size_t size);

/** show_totals() - write "streams 2, clients 34, in 1.0M/s, out 34.0M/s". Return: @line. */
const char *show_totals(const json_t *status, const json_t *streams, char *line, size_t size);

/** show_handover() - write "dmacastd 0.1, pid 12: took over 2 streams with 34 clients in 20 ms". Return: @line. */
const char *show_handover(const json_t *status, char *line, size_t size);

/** show_status() - print state and totals, one value a line. @streams: with rates */
void show_status(const json_t *status, const json_t *streams, FILE *file);

/** show_streams() - return a new table with a row for each stream. @streams: with rates */
struct table *show_streams(const json_t *streams);

/** show_clients() - return a new table with a row for each client. @clients: with rates */
struct table *show_clients(const json_t *clients);

#endif
