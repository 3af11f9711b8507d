/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a predecessor has handed over to this process, see handover.h: inherited across exec(), or kept by the service
 * manager. Anything that is not understood in full is not used at all: its connections are reset, the rest is closed,
 * and the log says why.
 */
#ifndef DMACAST_INHERITANCE_H
#define DMACAST_INHERITANCE_H

#include <stdbool.h>

struct config;
struct inheritance;
struct streams;

/** inheritance_take() - find it, after service_init(). Return: NULL if there is none that can be used. */
struct inheritance *inheritance_take(void);

/**
 * inheritance_restore_options() - set the options of the daemon to those of the predecessor.
 * @config: without streams
 *
 * Return: false after an error, which was logged.
 */
bool inheritance_restore_options(const struct inheritance *inheritance, struct config *config);

/**
 * inheritance_restore_streams() - let the streams go on, once.
 * @streams: see streams_restore()
 *
 * Return: false after an error, which was logged; then @streams are as before.
 */
bool inheritance_restore_streams(struct inheritance *inheritance, struct streams *streams);

/** inheritance_free() - free everything; connections that nobody has taken are reset. NULL is allowed. */
void inheritance_free(struct inheritance *inheritance);

#endif
