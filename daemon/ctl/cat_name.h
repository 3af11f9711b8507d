/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of files from a pattern, by the time, the place and the number of a file: "adc-%Y%m%dT%H%M%S-%n.raw".
 * All times are in UTC.
 */
#ifndef DMACAST_CAT_NAME_H
#define DMACAST_CAT_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAT_NAME_BYTES 4096

/* What the conversions of a pattern stand for. */
struct cat_name_values {
	uint64_t realtime_ns; /* time of the first byte in the file, since 1970 */
	uint64_t number;      /* %n: of the file, from 1 on */
	bool framed;	      /* the place is known */
	uint32_t epoch;	      /* %e */
	uint64_t sequence;    /* %q */
};

/**
 * cat_name_check() - check a pattern.
 * @varies: out: true if it has a conversion, so that the names of two files may differ
 * @expected: out: on failure, what would be right
 */
bool cat_name_check(const char *pattern, bool *varies, const char **expected);

/**
 * cat_name_format() - write the name of a file.
 * @error: out: on failure, the reason
 *
 * Return: false if the name is too long, or needs the place of a raw stream.
 */
bool cat_name_format(const char *pattern, const struct cat_name_values *values,
		     char name[CAT_NAME_BYTES], const char **error);

#endif
