/* SPDX-License-Identifier: BSD-2-Clause */
/* dmacastctl dnssd: files that announce the running streams in the local network. */
#ifndef DMACAST_DNSSD_H
#define DMACAST_DNSSD_H

#include "ctl/dnssd_file.h"

#include <jansson.h>

/**
 * dnssd_run() - print the file of the only service, or write one for each into a directory.
 * @streams: the daemon's answer
 * @stream: name of a stream; NULL: all streams
 * @directory: NULL: print
 *
 * Return: the exit status; messages are printed.
 */
int dnssd_run(const json_t *streams, const char *stream, const struct dnssd_format *format,
	      const char *directory);

#endif
