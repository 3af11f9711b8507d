/* SPDX-License-Identifier: BSD-2-Clause */
/* The metrics in the Prometheus text format, version 0.0.4. */
#ifndef DMACAST_EXPOSITION_H
#define DMACAST_EXPOSITION_H

#include <stdbool.h>
#include <stdio.h>

struct streams;

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/**
 * exposition_write() - write all metrics to @file.
 * @per_client: include the metrics of each client
 *
 * Return: false without memory.
 */
bool exposition_write(FILE *file, const struct streams *streams, bool per_client);

#endif
