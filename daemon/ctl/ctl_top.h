/* SPDX-License-Identifier: BSD-2-Clause */
/* dmacastctl top: a live view of streams and clients. */
#ifndef DMACAST_CTL_TOP_H
#define DMACAST_CTL_TOP_H

#include <stdbool.h>
#include <stdint.h>

struct ctl;

struct top_options {
	double delay;	 /* seconds between two pictures */
	uint64_t rounds; /* pictures; 0: no limit */
};

/**
 * top_run() - show a live view on a terminal until `q` or a signal; elsewhere print picture after picture.
 *
 * Return: the exit status.
 */
int top_run(struct ctl *ctl, const struct top_options *options);

#endif
