// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/finding.h"

#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS (FINDING_FAILURE + 1)

struct findings {
	struct finding *item;
	size_t count, capacity;
};

static const char *const level_word[LEVELS] = { "ok", "note", "skip", "warn", "fail" };

/* Sequences of a terminal: green, default, default, yellow, red. */
static const char *const level_colour[LEVELS] = { "\033[32m", "", "", "\033[33m", "\033[31m" };

struct findings *findings_create(void)
{
	struct findings *findings = calloc(1, sizeof(*findings));

	if (!findings)
		err(1, "findings");
	return findings;
}

/* Make space for one more. */
static void findings_grow(struct findings *findings)
{
	if (findings->count < findings->capacity)
		return;
	findings->capacity = findings->capacity ? 2 * findings->capacity : 32;
	findings->item = reallocarray(findings->item, findings->capacity, sizeof(*findings->item));
	if (!findings->item)
		err(1, "findings");
}

/* Names of processes and of streams come from elsewhere. Bytes above 127 are left out, too: JSON wants UTF-8. */
static char *finding_printable(char *text)
{
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
			*c = '?';
	}
	return text;
}

void findings_add(struct findings *findings, enum finding_level level, const char *check,
		  const char *why, const char *mend, const char *format, ...)
{
	bool is_ok = level == FINDING_OK;
	struct finding finding = { .level = level, .check = check, .why = is_ok ? NULL : why };
	va_list args;

	va_start(args, format);
	if (vasprintf(&finding.what, format, args) < 0)
		err(1, "findings");
	va_end(args);
	finding_printable(finding.what);
	if (mend && !is_ok) {
		finding.mend = strdup(mend);
		if (!finding.mend)
			err(1, "findings");
		finding_printable(finding.mend);
	}
	findings_grow(findings);
	findings->item[findings->count++] = finding;
}

size_t findings_count(const struct findings *findings)
{
	return findings->count;
}

const struct finding *findings_at(const struct findings *findings, size_t index)
{
	return &findings->item[index];
}

enum finding_level findings_worst(const struct findings *findings)
{
	enum finding_level worst = FINDING_OK;

	for (size_t i = 0; i < findings->count; i++) {
		if (findings->item[i].level > worst)
			worst = findings->item[i].level;
	}
	return worst;
}

const char *finding_word(enum finding_level level)
{
	return level_word[level];
}

/* Return the length of the longest name of a check. */
static int findings_name_width(const struct findings *findings)
{
	size_t width = 0;

	for (size_t i = 0; i < findings->count; i++) {
		size_t length = strlen(findings->item[i].check);

		if (length > width)
			width = length;
	}
	return (int)width;
}

/* @indent: columns before the text of a finding */
static void finding_print(const struct finding *finding, int width, bool colour, FILE *file)
{
	const char *begin = colour ? level_colour[finding->level] : "";
	int indent = (int)sizeof("fail  ") - 1 + width + 2;

	fprintf(file, "%s%-4s%s  %-*s  %s\n", begin, level_word[finding->level],
		*begin ? "\033[0m" : "", width, finding->check, finding->what);
	if (finding->why)
		fprintf(file, "%*swhy: %s\n", indent, "", finding->why);
	if (finding->mend)
		fprintf(file, "%*smend: %s\n", indent, "", finding->mend);
}

void findings_print(const struct findings *findings, bool all, bool colour, FILE *file)
{
	int width = findings_name_width(findings);
	size_t count[LEVELS] = { 0 };

	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->item[i];

		count[finding->level]++;
		if (all || finding->level != FINDING_OK)
			finding_print(finding, width, colour, file);
	}
	fprintf(file, "%zu checks", findings->count);
	for (size_t level = 0; level < LEVELS; level++)
		fprintf(file, "%s %s: %zu", level ? "," : ";", level_word[level], count[level]);
	putc('\n', file);
}

json_t *findings_json(const struct findings *findings)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < findings->count; i++) {
		const struct finding *finding = &findings->item[i];
		json_t *object =
			json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "level",
				  level_word[finding->level], "check", finding->check, "what",
				  finding->what, "why", finding->why, "mend", finding->mend);

		if (json_array_append_new(list, object)) {
			json_decref(list);
			list = NULL;
		}
	}
	return list;
}

void findings_free(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		free(findings->item[i].what);
		free(findings->item[i].mend);
	}
	free(findings->item);
	free(findings);
}
