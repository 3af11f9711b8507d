/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one table of options. Parsing, defaults, ranges, --help, --check and the tests that every
 * option is documented all come from it.
 */
#ifndef DMACAST_OPTION_TABLE_H
#define DMACAST_OPTION_TABLE_H

#include "config/option_value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_scope {
	OPTION_DAEMON, /* a field of struct daemon_settings, in [daemon] */
	OPTION_STREAM, /* a field of struct stream_settings, in [stream NAME] */
};

/* When a change of the option in a configuration that is read again takes effect. */
enum option_effect {
	OPTION_AT_START,    /* for what it belongs to to start again: the stream, or the daemon */
	OPTION_AT_ONCE,	    /* now */
	OPTION_NEW_CLIENTS, /* now, for those who come from now on */
};

struct option_definition {
	const char *name;
	enum option_scope scope;
	const struct option_type *type;
	enum option_effect effect;
	size_t field;		    /* offset in the settings struct */
	const char *default_text;   /* the default as one would write it; NULL: none */
	uint64_t minimum, maximum;  /* of a number */
	bool has_auto;		    /* a number that may be "auto": SETTING_AUTO */
	const char *const *choices; /* of a choice, ends with NULL */
	const char *help;	    /* one line */
};

extern const struct option_definition option_table[];
extern const size_t option_count;

/** option_find() - the option of that name and scope, or NULL. */
const struct option_definition *option_find(enum option_scope scope, const char *name);

/**
 * option_set() - parse @text into the option's field of @settings.
 * @expected: out: when false is returned, what would be right, as in "a size such as 256K"; empty: there
 * was no memory for the value
 */
bool option_set(const struct option_definition *option, void *settings, const char *text,
		char expected[OPTION_ERROR_TEXT]);

/** option_set_defaults() - give every option of @scope its default. @settings: all zero before. Cannot fail. */
void option_set_defaults(enum option_scope scope, void *settings);

/* Sets of effects. */
#define OPTION_EFFECT(effect) (1U << (effect))
#define OPTION_EFFECTS_ALL (~0U)

/* Enough for the names of all options of a scope. */
#define OPTION_NAMES_TEXT 512

/**
 * option_changes() - do options of @scope with one of these @effects differ?
 * @names: out: which do, for people; empty for none
 */
bool option_changes(enum option_scope scope, unsigned int effects, const void *a, const void *b,
		    char names[OPTION_NAMES_TEXT]);

/** option_print() - write "name = value" lines as a configuration file has them; none if unset. */
void option_print(const struct option_definition *option, const void *settings, FILE *file);

/** option_describe_value() - write what the option takes, as in "SIZE" or "drop|block". */
void option_describe_value(const struct option_definition *option, FILE *file);

#endif
