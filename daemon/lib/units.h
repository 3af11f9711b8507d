/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Quantities as text with units: "256K" bytes, "500ms", "100M/s". K, M, G and T are powers of 1024, with or
 * without "iB" or "B" after them. Durations need a unit unless they are 0.
 */
#ifndef DMACAST_UNITS_H
#define DMACAST_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Enough for every text that the units_format functions write. */
#define UNITS_TEXT 32

/* Rate without a limit, "max" in text. */
#define UNITS_RATE_MAX UINT64_MAX

/** units_parse_count() - parse a whole number. Return: false if @text is anything else or too large. */
bool units_parse_count(const char *text, uint64_t *count);

/** units_parse_size() - parse a number of bytes: "4096", "256K", "4MiB". Return: false if malformed. */
bool units_parse_size(const char *text, uint64_t *bytes);

/** units_parse_duration() - parse a time, into microseconds: "500ms", "10s", "2m", "1h", "50us", "0". */
bool units_parse_duration(const char *text, uint64_t *microseconds);

/** units_parse_rate() - parse a rate, into bytes a second: "100M/s", or "max". */
bool units_parse_rate(const char *text, uint64_t *bytes_per_second);

/* The reverse, exact: the text parses to the same value. Return: @text. */
const char *units_format_size(uint64_t bytes, char text[UNITS_TEXT]);
const char *units_format_duration(uint64_t microseconds, char text[UNITS_TEXT]);
const char *units_format_rate(uint64_t bytes_per_second, char text[UNITS_TEXT]);

/** units_format_about() - write a number of bytes for messages, rounded: "1.5 MiB". Return: @text. */
const char *units_format_about(uint64_t bytes, char text[UNITS_TEXT]);

/** units_format_short() - write a number for tables, rounded: "1.5M". Return: @text. */
const char *units_format_short(uint64_t number, char text[UNITS_TEXT]);

#endif
