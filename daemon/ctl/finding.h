/* SPDX-License-Identifier: BSD-2-Clause */
/* What dmacastctl doctor has found: for each thing that it looked at, what is, why it matters, and what mends it. */
#ifndef DMACAST_FINDING_H
#define DMACAST_FINDING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Enough for the command that mends it. */
#define FINDING_MEND 256

enum finding_level {
	FINDING_OK,	 /* nothing to improve */
	FINDING_NOTE,	 /* worth knowing; nothing has to change */
	FINDING_SKIPPED, /* it could not be looked at */
	FINDING_WARNING, /* slower than it could be, or it will be when there is more to do */
	FINDING_FAILURE, /* zero-copy cannot work, or clients may get wrong data */
};

struct finding {
	enum finding_level level;
	const char *check; /* name of what was looked at; not copied */
	char *what;
	const char *why; /* not copied; NULL: see `what` */
	char *mend;	 /* command or setting; NULL: nothing to mend */
};

struct findings;

/** findings_create() - return an empty list; end the program without memory. */
struct findings *findings_create(void);

/**
 * findings_add() - append a finding; '?' replaces what cannot be printed. End the program without memory.
 * @check: a constant
 * @why: a constant, or NULL; left out if @level is FINDING_OK
 * @mend: copied; or NULL; left out if @level is FINDING_OK
 * @format: text of what was found
 */
void findings_add(struct findings *findings, enum finding_level level, const char *check,
		  const char *why, const char *mend, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

/** findings_count() - return the number of findings. */
size_t findings_count(const struct findings *findings);

/** findings_at() - return the finding with this index. */
const struct finding *findings_at(const struct findings *findings, size_t index);

/** findings_worst() - return the highest level; FINDING_OK without findings. */
enum finding_level findings_worst(const struct findings *findings);

/** finding_word() - return the word for a level. */
const char *finding_word(enum finding_level level);

/**
 * findings_print() - print them for people, and a line with their number.
 * @all: also those that are FINDING_OK
 * @colour: with colours of a terminal
 */
void findings_print(const struct findings *findings, bool all, bool colour, FILE *file);

/** findings_json() - return an array of all findings; NULL without memory. */
json_t *findings_json(const struct findings *findings);

/** findings_free() - free the list. */
void findings_free(struct findings *findings);

#endif
