/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The change from one configuration of the streams to another one. All steps that can fail come first
 * and leave running streams alone: opening sources, devices and endpoints, with the rings and the addresses of
 * a preparation. The change itself follows. Nothing here waits.
 */
#ifndef DMACAST_RELOAD_H
#define DMACAST_RELOAD_H

#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct preparation;
struct streams;

/**
 * reload_streams() - replace the streams by those of @wanted. Unchanged streams are not touched.
 * @wanted: has passed config_check()
 * @drain_us: time for clients of streams that end to get the remaining blocks
 * @preparation: of the same streams, and ready
 *
 * Return: false after an error, which was logged; nothing has changed then.
 */
bool reload_streams(struct streams *streams, const struct stream_settings *wanted, size_t count,
		    uint64_t drain_us, struct preparation *preparation);

#endif
