/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of all options. Parsing, defaults, ranges, --help, --check, and the tests that every option is
 * documented, come from it. To add an option, add a row, and a member to lib/settings.h.
 */
#ifndef DMACAST_OPTION_TABLE_H
#define DMACAST_OPTION_TABLE_H

#include "config/option_value.h"
#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_scope {
	OPTION_DAEMON, /* a field of struct daemon_settings, in [daemon] */
	OPTION_STREAM, /* a field of struct stream_settings, in [stream NAME] */
	/* A field of struct endpoint_settings, in [endpoint NAME]; each is one of OPTION_STREAM, too. */
	OPTION_ENDPOINT,
};

/* When a change of the option takes effect after the configuration is read again. */
enum option_effect {
	OPTION_AT_START,    /* when the stream, or the daemon, is restarted */
	OPTION_AT_ONCE,	    /* immediately */
	OPTION_NEW_CLIENTS, /* for clients that connect from then on */
};

struct option_definition {
	const char *name;
	enum option_scope scope;
	const struct option_type *type;
	enum option_effect effect;
	size_t field;		    /* offset in the settings struct, in bytes */
	bool in_endpoint;	    /* an option of OPTION_STREAM that is in OPTION_ENDPOINT, too */
	size_t endpoint_field;	    /* offset in struct endpoint_settings, in bytes */
	const char *default_text;   /* the default, as in a file; NULL: none */
	uint64_t minimum, maximum;  /* of a number */
	bool has_auto;		    /* a number that may be "auto": SETTING_AUTO */
	const char *const *choices; /* of a choice, ends with NULL */
	const char *help;	    /* one line */
};

extern const struct option_definition option_table[];
extern const size_t option_count;

/* Words of enum zerocopy_mode and of enum client_format, by their values; NULL at the end. */
extern const char *const option_zerocopy_words[], *const option_format_words[];

/** option_is_in() - return true if sections of @scope have the option. */
bool option_is_in(const struct option_definition *option, enum option_scope scope);

/** option_find() - find an option by its scope and name, or NAME.KEY. Return: NULL if there is none. */
const struct option_definition *option_find(enum option_scope scope, const char *name);

/**
 * option_set() - set the option's member of @settings, which are of @scope, from @text.
 * @expected: out: on failure, what would be right, as in "a size such as 256K"; empty: no memory
 */
bool option_set(const struct option_definition *option, enum option_scope scope, void *settings,
		const char *text, char expected[OPTION_ERROR_TEXT]);

/** option_set_line() - do the same from a line "name = value" of a file, where the name may have a key. */
bool option_set_line(const struct option_definition *option, enum option_scope scope,
		     void *settings, const char *name, const char *value,
		     char expected[OPTION_ERROR_TEXT]);

/** option_set_defaults() - set every option of @scope in @settings, which are all zero, to its default. */
void option_set_defaults(enum option_scope scope, void *settings);

/**
 * option_inherit() - give an endpoint each option that it has not set, except `listen`, from its stream.
 * @is_set: for each option of the table, whether the endpoint has set it
 *
 * Return: false without memory.
 */
bool option_inherit(struct endpoint_settings *endpoint, const struct stream_settings *stream,
		    const bool *is_set);

/* Sets of effects. */
#define OPTION_EFFECT(effect) (1U << (effect))
#define OPTION_EFFECTS_ALL (~0U)

/* Enough for the names of all options of a scope. */
#define OPTION_NAMES_TEXT 768

/**
 * option_changes() - return true if any option of @scope with one of these @effects differs.
 * @names: out: the names of those that differ, separated by commas
 */
bool option_changes(enum option_scope scope, unsigned int effects, const void *a, const void *b,
		    char names[OPTION_NAMES_TEXT]);

/**
 * option_endpoint_changes() - return true if two streams differ in their sections [endpoint NAME].
 * @names: out: "endpoint NAME" for each that one of them does not have, or that differs
 */
bool option_endpoint_changes(const struct stream_settings *a, const struct stream_settings *b,
			     char names[OPTION_NAMES_TEXT]);

/** option_print() - write the option as a configuration file has it; write nothing if it is unset. */
void option_print(const struct option_definition *option, enum option_scope scope,
		  const void *settings, FILE *file);

/** option_describe_value() - write what values the option accepts, as in "SIZE" or "drop|block". */
void option_describe_value(const struct option_definition *option, FILE *file);

#endif
