/* SPDX-License-Identifier: BSD-2-Clause */
/* Moments as text for programs, by RFC 3339 and in UTC: "2026-02-03T04:05:06.789012345Z". */
#ifndef DMACAST_TIMESTAMP_H
#define DMACAST_TIMESTAMP_H

#include <stdint.h>

/* Enough for every text that timestamp_format() writes. */
#define TIMESTAMP_TEXT 48

/** timestamp_format() - write a time in nanoseconds since 1970. Return: @text. */
const char *timestamp_format(uint64_t realtime_ns, char text[TIMESTAMP_TEXT]);

#endif
