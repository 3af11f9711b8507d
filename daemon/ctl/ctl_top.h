/* SPDX-License-Identifier: BSD-2-Clause */
/* dmacastctl top: streams and clients, again and again. */
#ifndef DMACAST_CTL_TOP_H
#define DMACAST_CTL_TOP_H

#include <stdbool.h>
#include <stdint.h>

struct ctl;

struct top_options {
	double delay;	 /* seconds from one picture to the next */
	uint64_t rounds; /* pictures; 0: until it is stopped */
};

/**
 * top_run() - on a terminal a live view, until `q` or a signal; elsewhere one picture after another.
 *
 * Return: the exit status.
 */
int top_run(struct ctl *ctl, const struct top_options *options);

#endif
