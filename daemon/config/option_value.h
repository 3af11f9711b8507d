/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The types of option values. Each type is a struct of functions, which the option table refers to. The
 * functions get the option because its range and its choices differ within a type.
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
	size_t size;	    /* of the field, in bytes */
	bool repeats;	    /* may be given several times; the values are collected */
	bool keyed;	    /* a file has NAME.KEY = VALUE, and parse() gets KEY=VALUE */
	const char *word;   /* placeholder in --help; NULL for choices, which are listed */
	const char *expect; /* of a number: what errors say is expected */

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
	/** copy() - give @to, which is unset, the value of @from. Return: false without memory. */
	bool (*copy)(const struct option_definition *option, void *to, const void *from);
	/** describe() - write what values the option accepts, as in "SIZE" or "drop|block". */
	void (*describe)(const struct option_definition *option, FILE *file);

	/* Numbers only: conversion from and to text with the unit. */
	bool (*parse_number)(const char *text, uint64_t *number);
	const char *(*format_number)(uint64_t number, char text[UNITS_TEXT]);
	/* Texts only: return true if @text is well-formed, else write what is expected. */
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
extern const struct option_type option_type_input;	/* see input.h (char *) */
extern const struct option_type option_type_path;	/* absolute (char *) */
extern const struct option_type option_type_address;	/* see address.h (char *) */
extern const struct option_type option_type_endpoint;	/* see endpoint.h (struct text_list) */
extern const struct option_type option_type_record_end; /* see escape.h (struct record_end) */
extern const struct option_type option_type_preamble;	/* (struct preamble_setting) */
extern const struct option_type option_type_meta;	/* see meta.h (struct text_list) */
extern const struct option_type option_type_name;	/* of a section (char *) */
extern const struct option_type option_type_word;	/* name of a thing of the kernel (char *) */
extern const struct option_type option_type_dscp;	/* code point, 0 to 63 (uint64_t) */
extern const struct option_type option_type_lag;	/* size or duration (struct lag_limit) */
extern const struct option_type option_type_start; /* see client_start.h (struct client_start) */
/* Rules of one list, see access.h (struct access_list). The option's name says which kind it adds. */
extern const struct option_type option_type_allow, option_type_deny;

#endif
