/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The live page: one HTML document that shows streams and clients, and asks for /status.json to do so. For browsers
 * without scripts it has tables with the numbers of now.
 */
#ifndef DMACAST_LIVE_PAGE_H
#define DMACAST_LIVE_PAGE_H

#include <stdbool.h>
#include <stdio.h>

struct streams;

/** live_page_policy() - return the value of Content-Security-Policy for it. */
const char *live_page_policy(void);

/** live_page_write() - write it, with @per_client also a table of the clients that are furthest behind. */
void live_page_write(FILE *file, const struct streams *streams, bool per_client);

#endif
