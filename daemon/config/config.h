/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration: the settings of the daemon and of its streams. They come from a file, see
 * config_file.h, or from the command line, see arguments.h. config_check.h has the checks of the whole.
 */
#ifndef DMACAST_CONFIG_H
#define DMACAST_CONFIG_H

#include "lib/log.h"
#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Upper bounds, so that a configuration is checked and compared within milliseconds. */
#define MAX_STREAMS 256
#define MAX_ENDPOINTS 512

/* A section [endpoint NAME] that was read, before its stream is known. */
struct config_endpoint {
	struct endpoint_settings settings;
	bool *is_set;	   /* for each option of the table */
	unsigned int line; /* of the section in its file */
};

/* `file` and `log_level` come from the command line. */
struct config {
	const char *file;	  /* path of the file that was read; NULL: none */
	enum log_level log_level; /* daemon.log_level, changed by -v and -q */
	struct daemon_settings daemon;
	struct stream_settings *streams;
	size_t stream_count;
	/* While a file is read; config_resolve_endpoint() gives each to its stream. */
	struct config_endpoint *endpoints;
	size_t endpoint_count;
};

/** config_init() - set @config to the defaults of the daemon and no streams. */
void config_init(struct config *config);

/**
 * config_add_stream() - add a stream with the default settings.
 *
 * @expected: out: on failure, what name would be right; NULL: there was no memory
 *
 * Return: its settings, valid until the next call, or NULL.
 */
struct stream_settings *config_add_stream(struct config *config, const char *name,
					  const char **expected);

/**
 * config_add_endpoint() - add an endpoint without settings; failures are those of config_add_stream().
 *
 * Return: the endpoint, valid until the next call, or NULL.
 */
struct config_endpoint *config_add_endpoint(struct config *config, const char *name,
					    const char **expected);

/**
 * config_resolve_endpoint() - give an endpoint to its stream, and what it does not set the stream's values.
 * @expected: out: on failure, what would be right; NULL: there was no memory
 *
 * Return: false after a failure.
 */
bool config_resolve_endpoint(struct config *config, struct config_endpoint *endpoint,
			     const char **expected);

/** config_rename_stream() - rename a stream of @config; failures are those of config_add_stream(). */
bool config_rename_stream(struct config *config, struct stream_settings *stream, const char *name,
			  const char **expected);

/** config_print() - write the effective configuration as a file that can be read again. */
void config_print(const struct config *config, FILE *file);

/**
 * config_renew() - replace a configuration in effect by @from. Options of the daemon that need a restart
 * keep their values. @from has no streams afterwards. Cannot fail.
 */
void config_renew(struct config *config, struct config *from);

/** config_free() - free everything @config owns. */
void config_free(struct config *config);

#endif
