/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Quantities as people write them: "256K" bytes, "500ms", "100M/s". K, M, G and T count in 1024,
 * with or without "iB" or "B" after them. Durations need a unit unless they are 0.
 */
#ifndef DMACAST_UNITS_H
#define DMACAST_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Enough for every text that the units_format functions write. */
#define UNITS_TEXT 32

/* A rate without a limit, written "max". */
#define UNITS_RATE_MAX UINT64_MAX

/** units_parse_count() - a whole number. Return: false when @text is anything else or too large. */
bool units_parse_count(const char *text, uint64_t *count);

/** units_parse_size() - bytes, as in "4096", "256K", "4MiB". Return: false when malformed. */
bool units_parse_size(const char *text, uint64_t *bytes);

/** units_parse_duration() - microseconds, as in "500ms", "10s", "2m", "1h", "50us", "0". */
bool units_parse_duration(const char *text, uint64_t *microseconds);

/** units_parse_rate() - bytes a second, as in "100M/s", or "max". */
bool units_parse_rate(const char *text, uint64_t *bytes_per_second);

/* The reverse, exact: what is written can be read again to the same value. Return: @text. */
const char *units_format_size(uint64_t bytes, char text[UNITS_TEXT]);
const char *units_format_duration(uint64_t microseconds, char text[UNITS_TEXT]);
const char *units_format_rate(uint64_t bytes_per_second, char text[UNITS_TEXT]);

/** units_format_about() - bytes for people, rounded: "1.5 MiB". Return: @text. */
const char *units_format_about(uint64_t bytes, char text[UNITS_TEXT]);

/** units_format_short() - the same for tables: "1.5M". Return: @text. */
const char *units_format_short(uint64_t number, char text[UNITS_TEXT]);

#endif
