/* SPDX-License-Identifier: BSD-2-Clause */
/* dmacastctl's connection to the daemon: requests and answers, see dmacastctl(8). */
#ifndef DMACAST_CTL_CONNECTION_H
#define DMACAST_CTL_CONNECTION_H

#include <jansson.h>

#define CTL_DEFAULT_SOCKET "/run/dmacast/control"

/* Enough for every text that these functions write. */
#define CTL_ERROR_TEXT 1024

struct ctl;

/** ctl_open() - connect when it is needed. @path: is not copied. Return: NULL without memory. */
struct ctl *ctl_open(const char *path);

/**
 * ctl_ask() - connect if necessary, ask, and wait for the answer, for some seconds at most.
 * @request: the reference is taken over
 * @error: out: when NULL is returned, what went wrong and what helps, as one line
 *
 * Return: the answer to a request that was done; NULL when there is none.
 */
json_t *ctl_ask(struct ctl *ctl, json_t *request, char error[CTL_ERROR_TEXT]);

/** ctl_ask_clients() - the same for all clients, of one stream or with NULL of all of them. */
json_t *ctl_ask_clients(struct ctl *ctl, const char *stream, char error[CTL_ERROR_TEXT]);

/** ctl_close() - end the connection. */
void ctl_close(struct ctl *ctl);

#endif
