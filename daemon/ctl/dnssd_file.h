/* SPDX-License-Identifier: BSD-2-Clause */
/* Files for programs that announce services: Avahi, and systemd-resolved. */
#ifndef DMACAST_DNSSD_FILE_H
#define DMACAST_DNSSD_FILE_H

#include "ctl/dnssd_service.h"

#include <stdio.h>

struct dnssd_format {
	const char *suffix;    /* of the file's name */
	const char *directory; /* where the program looks for it */
	/* Write the whole file. */
	void (*write)(const struct dnssd_service *service, FILE *file);
};

extern const struct dnssd_format dnssd_avahi, dnssd_resolved;

#endif
