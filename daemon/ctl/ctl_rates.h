/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes a second, from two answers of the daemon: it only counts, so that it has nothing to do while
 * nobody looks.
 */
#ifndef DMACAST_CTL_RATES_H
#define DMACAST_CTL_RATES_H

#include <jansson.h>

/**
 * rates_of_streams() - give each stream of the answer @now "in_rate" and "out_rate", where it is in
 * the answer @before, too.
 */
void rates_of_streams(json_t *now, const json_t *before);

/** rates_of_clients() - the same with "out_rate"; of a new client, since it is there. */
void rates_of_clients(json_t *now, const json_t *before);

#endif
