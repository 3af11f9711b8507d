/* SPDX-License-Identifier: BSD-2-Clause */
/* A service of DNS-SD: one port of a section of a stream, with the stream's metadata. */
#ifndef DMACAST_DNSSD_SERVICE_H
#define DMACAST_DNSSD_SERVICE_H

#include "ctl/dnssd_txt.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Longest instance name in bytes, which is a label of DNS; the host's name is a part of it. */
#define DNSSD_NAME 64
/* Enough for the name of a file. */
#define DNSSD_FILE 128

/* IP versions that it is reached by. */
enum dnssd_protocol { DNSSD_ANY, DNSSD_IPV4, DNSSD_IPV6 };

struct dnssd_service {
	const char *stream;  /* of the daemon's answer */
	const char *section; /* of [endpoint NAME]; NULL: the stream's own endpoints */
	const char *type;    /* "_http._tcp", or "_dmacast._tcp" */
	const char *format;  /* as in the configuration */
	unsigned int port;
	enum dnssd_protocol protocol;
	bool is_only; /* no other port has the same stream and section */
	struct dnssd_txt txt;
};

/**
 * dnssd_each_service() - call @each for every port of a stream that other machines can connect to.
 * @stream: as the daemon reports it
 * @log: where to say what is left out, and why
 *
 * End the program without memory. Return: the number of services.
 */
size_t dnssd_each_service(const json_t *stream,
			  void (*each)(void *argument, const struct dnssd_service *service),
			  void *argument, FILE *log);

/**
 * dnssd_instance_name() - write the name without the host's: the stream, its section if there is one, and the port if
 * there are others. Return: @name.
 * @separator: between these
 */
const char *dnssd_instance_name(const struct dnssd_service *service, char separator,
				char name[DNSSD_NAME]);

#endif
