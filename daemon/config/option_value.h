/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The types of values that options have. A type is one struct of functions, which the option table
 * refers to. Its functions get the option for what differs among options of one type, such as the range.
 */
#ifndef DMACAST_OPTION_VALUE_H
#define DMACAST_OPTION_VALUE_H

#include "lib/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Enough for every text that parse() writes. */
#define OPTION_ERROR_TEXT 256

struct option_definition;

struct option_type {
	size_t size;  /* of the field, in bytes */
	bool repeats; /* the option may be given several times, and the values are collected */
	const char *
		word; /* placeholder for the value in --help; NULL: describe() writes the choices */
	const char *expect; /* of a number: what is expected, in errors */

	/**
	 * parse() - set @field from @text; on failure leave it as it is and return false.
	 * @expected: out: on failure, what would be right, as in "a size such as 256K"; empty: no memory
	 */
	bool (*parse)(const struct option_definition *option, void *field, const char *text,
		      char expected[OPTION_ERROR_TEXT]);
	/** print() - write "name = value" lines as a configuration file has them; none if unset. */
	void (*print)(const struct option_definition *option, const void *field, FILE *file);
	/** is_equal() - return true if two fields have the same value. */
	bool (*is_equal)(const struct option_definition *option, const void *a, const void *b);
	/** describe() - write what the option takes, as in "SIZE" or "drop|block". */
	void (*describe)(const struct option_definition *option, FILE *file);

	/* Of numbers only: from and to text, by unit. */
	bool (*parse_number)(const char *text, uint64_t *number);
	const char *(*format_number)(uint64_t number, char text[UNITS_TEXT]);
	/* Of texts only: return true if @text is well-formed, else write what is expected. */
	bool (*accepts)(const char *text, char expected[OPTION_ERROR_TEXT]);
};

/* The C type of each field is in parentheses. */
extern const struct option_type option_type_count;    /* (uint64_t) */
extern const struct option_type option_type_size;     /* bytes (uint64_t) */
extern const struct option_type option_type_duration; /* microseconds (uint64_t) */
extern const struct option_type option_type_rate;     /* bytes a second (uint64_t) */
extern const struct option_type option_type_boolean;  /* (bool) */
extern const struct option_type
	option_type_choice; /* index into the option's choices (unsigned int) */
extern const struct option_type option_type_input;    /* see input.h (char *) */
extern const struct option_type option_type_path;     /* absolute (char *) */
extern const struct option_type option_type_address;  /* see address.h (char *) */
extern const struct option_type option_type_endpoint; /* see endpoint.h (struct text_list) */

#endif
