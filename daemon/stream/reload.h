/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From one configuration of the streams to another one. What can fail is done first, with everything
 * that is there untouched: new rings, new sources, new endpoints. Then the change itself follows.
 */
#ifndef DMACAST_RELOAD_H
#define DMACAST_RELOAD_H

#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct streams;

/**
 * reload_streams() - make the streams those of @wanted. Those that are the same are not touched.
 * @wanted: checked before, by config_check()
 * @drain_us: how long the clients of streams that end may take to get the rest
 *
 * Return: false when something could not be had; that is logged, and nothing has changed.
 */
bool reload_streams(struct streams *streams, const struct stream_settings *wanted, size_t count,
		    uint64_t drain_us);

#endif
