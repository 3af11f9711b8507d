/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rates in bytes a second, computed from two answers. The daemon only counts, so it needs no timer
 * while nobody watches.
 */
#ifndef DMACAST_CTL_RATES_H
#define DMACAST_CTL_RATES_H

#include <jansson.h>

/**
 * rates_of_streams() - set "in_rate" and "out_rate" of each stream in the answer @now that is also in the
 * answer @before to the rates between the two.
 */
void rates_of_streams(json_t *now, const json_t *before);

/** rates_of_clients() - add "out_rate" to each client; that of a new one is since it connected. */
void rates_of_clients(json_t *now, const json_t *before);

#endif
