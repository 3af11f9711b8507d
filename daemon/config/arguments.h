/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of dmacastd. */
#ifndef DMACAST_ARGUMENTS_H
#define DMACAST_ARGUMENTS_H

#include "config/config.h"

#include <stdbool.h>

enum arguments_outcome {
	ARGUMENTS_RUN,	 /* the configuration is complete and valid */
	ARGUMENTS_CHECK, /* the same, and should only be printed */
	ARGUMENTS_DONE,	 /* help or a version was printed */
	ARGUMENTS_WRONG, /* errors were logged, or there was no memory; only `file` is set */
};

/**
 * arguments_parse() - fill @config from the command line and the file that it names. Call it again with the
 * same arguments to read the file again.
 */
enum arguments_outcome arguments_parse(int argc, char **argv, struct config *config);

#endif
