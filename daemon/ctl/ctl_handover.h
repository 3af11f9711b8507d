/* SPDX-License-Identifier: BSD-2-Clause */
/* The requests after which another process answers on the control socket. */
#ifndef DMACAST_CTL_HANDOVER_H
#define DMACAST_CTL_HANDOVER_H

#include "ctl/ctl_connection.h"

#include <jansson.h>
#include <stdbool.h>

/**
 * handover_upgrade() - let the daemon become the program at @path, and wait until it answers.
 * @path: NULL: the program that runs, or what has taken its place
 * @error: out: what happened instead; only if NULL is returned
 *
 * Return: the status of the new program, a new reference; NULL if it has not taken over.
 */
json_t *handover_upgrade(struct ctl *ctl, const char *path, char error[CTL_ERROR_TEXT]);

/**
 * handover_to_service() - let the daemon hand over to the next process of its service, and wait until it has ended.
 * @error: out: why the daemon goes on
 *
 * Return: false if it goes on.
 */
bool handover_to_service(struct ctl *ctl, char error[CTL_ERROR_TEXT]);

#endif
