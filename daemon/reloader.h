/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the configuration again, one reload at a time. Those that are asked for during a reload become one
 * that follows it.
 *
 *   IDLE ─ reloader_request() ─▶ READING ─ valid ─▶ PREPARING ─ ready ─▶ applied, or an error ─▶ IDLE
 */
#ifndef DMACAST_RELOADER_H
#define DMACAST_RELOADER_H

#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct preparation;
struct reloader;
struct streams;

struct reloader_callbacks {
	/* A reload begins. */
	void (*begun)(void *argument);
	/* Change everything to @config. Return: false after an error, which was logged. */
	bool (*apply)(void *argument, struct config *config, struct preparation *preparation);
	/*
	 * A reload has ended. @done: false: nothing has changed. @text: the errors, or the warnings if there
	 * is no error, one a line; all were logged
	 */
	void (*done)(void *argument, uint64_t number, bool done, const char *text);
};

/**
 * reloader_create() - start without a reload.
 * @config: the configuration in effect
 * @argc, @argv: the arguments of the program, which are parsed again
 * @callbacks: called with @argument; all of these must outlive the reloader
 *
 * Return: NULL without memory.
 */
struct reloader *reloader_create(struct event_base *base, struct streams *streams,
				 const struct config *config, int argc, char **argv,
				 const struct reloader_callbacks *callbacks, void *argument);

/**
 * reloader_request() - reload in the next iteration of the event loop, or after the reload that is under way.
 *
 * Return: the number of that reload, from 1 on.
 */
uint64_t reloader_request(struct reloader *reloader);

/** reloader_request_first() - the same, also without a configuration file: apply the arguments that the process has. */
void reloader_request_first(struct reloader *reloader);

/** reloader_is_busy() - return true if a reload is under way or requested. */
bool reloader_is_busy(const struct reloader *reloader);

/** reloader_cancel() - end all reloads without a change. @why: one line, for the log and the callback */
void reloader_cancel(struct reloader *reloader, const char *why);

/** reloader_free() - free everything. NULL is allowed. */
void reloader_free(struct reloader *reloader);

#endif
