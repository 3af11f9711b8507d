/* SPDX-License-Identifier: BSD-2-Clause */
/* dmacastctl doctor: look for what makes zero-copy fail or slow on this machine. */
#ifndef DMACAST_DOCTOR_H
#define DMACAST_DOCTOR_H

#include "ctl/ctl_connection.h"

#include <stdbool.h>
#include <stddef.h>

/* Number of --interface options. */
#define MAX_DOCTOR_INTERFACES 16

/* Exit status: nothing to improve, something to improve, could not look. */
enum doctor_status { DOCTOR_FINE, DOCTOR_FINDINGS, DOCTOR_BLIND };

struct doctor_options {
	const char *interface[MAX_DOCTOR_INTERFACES];
	size_t interfaces;
	bool needs_daemon; /* it was asked for: without it, not all can be looked at */
	bool verbose;	   /* print also what is fine */
	bool json;
};

/** doctor_run() - ask the daemon if one runs, look, and print the findings. Return: enum doctor_status. */
int doctor_run(struct ctl *ctl, const struct doctor_options *options);

#endif
