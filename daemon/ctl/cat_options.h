/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of dmacastctl cat. */
#ifndef DMACAST_CAT_OPTIONS_H
#define DMACAST_CAT_OPTIONS_H

#include "ctl/cat_output.h"
#include "ctl/cat_report.h"
#include "ctl/cat_session.h"

#include <stdint.h>

struct cat_options {
	struct cat_session_options session;
	uint64_t duration_us; /* 0: no limit */
	struct cat_output_options output;
	struct cat_report_options report;
};

/**
 * cat_options_parse() - parse the arguments; texts of @argv are kept. Errors and help are printed.
 * @argv: from "cat" on
 *
 * Return: -1, or the exit status if the program ends here.
 */
int cat_options_parse(struct cat_options *options, int argc, char **argv);

/** cat_options_free() - free what the options own. */
void cat_options_free(struct cat_options *options);

#endif
