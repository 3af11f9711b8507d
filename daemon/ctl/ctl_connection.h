/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection of dmacastctl to the daemon; dmacastctl(8) describes requests and answers. */
#ifndef DMACAST_CTL_CONNECTION_H
#define DMACAST_CTL_CONNECTION_H

#include <jansson.h>

#define CTL_DEFAULT_SOCKET "/run/dmacast/control"

/* Size of a buffer for an error. */
#define CTL_ERROR_TEXT 1024

struct ctl;

/**
 * ctl_open() - prepare a connection, which the first request makes.
 * @path: of the control socket; not copied
 *
 * Return: NULL without memory.
 */
struct ctl *ctl_open(const char *path);

/**
 * ctl_ask() - connect if necessary, send a request, and wait for the answer, with a timeout.
 * @request: the reference is taken over
 * @error: out: the error and its remedy on one line; only if NULL is returned
 *
 * Return: the answer, a new reference; NULL if the request failed.
 */
json_t *ctl_ask(struct ctl *ctl, json_t *request, char error[CTL_ERROR_TEXT]);

/**
 * ctl_ask_clients() - like ctl_ask(), request the complete list of clients.
 * @stream: name of a stream; NULL: all streams
 */
json_t *ctl_ask_clients(struct ctl *ctl, const char *stream, char error[CTL_ERROR_TEXT]);

/** ctl_close() - close the connection and free @ctl. */
void ctl_close(struct ctl *ctl);

#endif
