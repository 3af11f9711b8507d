/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration files in ini format, as inih reads them. Every error is logged with file, line and key,
 * and with what would be right.
 */
#ifndef DMACAST_CONFIG_FILE_H
#define DMACAST_CONFIG_FILE_H

#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/**
 * config_file_read() - add the file at @path to @config. It must be a regular file of at most 4 MiB, so
 * that reading it ends.
 *
 * Return: false after errors, which were logged.
 */
bool config_file_read(struct config *config, const char *path);

/**
 * config_file_parse() - do the same with the text of a file.
 * @origin: named in the errors
 */
bool config_file_parse(struct config *config, const char *origin, const char *text, size_t length);

#endif
