// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_report.h"

#include "ctl/cat_progress.h"
#include "lib/clock.h"
#include "lib/json_text.h"
#include "lib/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ERROR_BYTES 5120

struct cat_report {
	FILE *json; /* NULL: no JSON */
	bool text;  /* lines on standard error */
	bool quiet;
	struct cat_progress *progress;
	struct {
		uint64_t gaps, blocks, bytes;
	} lost[CAT_GAP_ORIGINS];
};

static bool cat_report_open_json(struct cat_report *report, const char *path)
{
	report->json = path ? fopen(path, "we") : stderr;
	if (!report->json) {
		fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, path,
			strerror(errno));
		return false;
	}
	setvbuf(report->json, NULL, _IOLBF, 0);
	return true;
}

struct cat_report *cat_report_create(const struct cat_report_options *options)
{
	struct cat_report *report = calloc(1, sizeof(*report));
	bool text = !options->json || options->json_path;

	if (!report) {
		fprintf(stderr, "%s: no memory\n", program_invocation_short_name);
		return NULL;
	}
	report->quiet = options->quiet;
	report->text = text;
	report->progress = cat_progress_create(text && !options->quiet && isatty(STDERR_FILENO));
	if (report->progress &&
	    (!options->json || cat_report_open_json(report, options->json_path)))
		return report;
	cat_report_free(report);
	return NULL;
}

struct cat_progress *cat_report_progress(struct cat_report *report)
{
	return report->progress;
}

void cat_report_event(struct cat_report *report, const char *event, json_t *members)
{
	char now[TIMESTAMP_TEXT];
	json_t *line = json_pack("{s:s, s:s}", "time",
				 timestamp_format(clock_ns(CLOCK_REALTIME), now), "event", event);

	if (report->json && line && !json_object_update(line, members)) {
		json_dumpf(line, report->json, JSON_COMPACT | JSON_REAL_PRECISION(15));
		putc('\n', report->json);
	}
	json_decref(line);
	json_decref(members);
}

static void cat_report_line(struct cat_report *report, const char *text)
{
	if (!report->text)
		return;
	cat_progress_clear(report->progress);
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
}

void cat_report_error(struct cat_report *report, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	cat_report_verror(report, format, args);
	va_end(args);
}

void cat_report_verror(struct cat_report *report, const char *format, va_list args)
{
	char text[ERROR_BYTES];

	vsnprintf(text, sizeof(text), format, args);
	cat_report_line(report, text);
	cat_report_event(report, "error", json_pack("{s:o}", "error", json_text(text)));
}

void cat_report_notice(struct cat_report *report, const char *event, const char *text)
{
	if (!report->quiet)
		cat_report_line(report, text);
	cat_report_event(report, event, json_pack("{s:o}", "text", json_text(text)));
}

void cat_report_connected(struct cat_report *report, const char *url)
{
	cat_report_event(report, "connected", json_pack("{s:o}", "url", json_text(url)));
}

void cat_report_disconnected(struct cat_report *report, const char *url, const char *reason,
			     const char *next)
{
	char text[ERROR_BYTES];

	snprintf(text, sizeof(text), "%s: %s; %s", url, reason, next);
	if (!report->quiet)
		cat_report_line(report, text);
	cat_report_event(
		report, "disconnected",
		json_pack("{s:o, s:o}", "url", json_text(url), "reason", json_text(reason)));
}

/* Return the members of an event about the place of @frame; NULL is allowed. */
static json_t *cat_report_place(const struct frame *frame)
{
	char epoch[9];

	if (!frame)
		return json_object();
	snprintf(epoch, sizeof(epoch), "%08" PRIx32, frame->epoch);
	return json_pack("{s:s, s:I, s:I}", "epoch", epoch, "sequence", (json_int_t)frame->sequence,
			 "position", (json_int_t)frame->position);
}

static void cat_report_gap_line(struct cat_report *report, const struct cat_gap *gap,
				const struct frame *frame)
{
	char text[CAT_GAP_TEXT], line[CAT_GAP_TEXT + 100];

	cat_gap_format(gap, text);
	if (frame)
		snprintf(line, sizeof(line),
			 "%s, before %08" PRIx32 ":%" PRIu64 " (byte %" PRIu64 ")", text,
			 frame->epoch, frame->sequence, frame->position);
	else
		snprintf(line, sizeof(line), "%s", text);
	cat_report_line(report, line);
}

void cat_report_gap(struct cat_report *report, const struct cat_gap *gap, const struct frame *frame)
{
	json_t *members = cat_report_place(frame);

	report->lost[gap->origin].gaps++;
	report->lost[gap->origin].blocks += gap->blocks;
	report->lost[gap->origin].bytes += gap->bytes;
	cat_progress_note_gap(report->progress, gap->bytes);
	if (!report->quiet)
		cat_report_gap_line(report, gap, frame);
	json_object_set_new(members, "origin", json_string(cat_gap_name(gap->origin)));
	if (gap->origin != CAT_GAP_UNKNOWN) {
		json_object_set_new(members, "blocks", json_integer((json_int_t)gap->blocks));
		json_object_set_new(members, "bytes", json_integer((json_int_t)gap->bytes));
	}
	cat_report_event(report, "gap", members);
}

void cat_report_file(struct cat_report *report, const char *path, uint64_t bytes)
{
	cat_report_event(
		report, "file",
		json_pack("{s:o, s:I}", "path", json_text(path), "bytes", (json_int_t)bytes));
}

bool cat_report_lost(const struct cat_report *report)
{
	for (size_t i = 0; i < CAT_GAP_ORIGINS; i++) {
		if (report->lost[i].gaps)
			return true;
	}
	return false;
}

static void cat_report_loss_line(struct cat_report *report, uint64_t bytes)
{
	char text[ERROR_BYTES];

	snprintf(text, sizeof(text),
		 "received %" PRIu64 " bytes, lost %" PRIu64 " for this client and %" PRIu64
		 " at the source, and an unknown number %" PRIu64 " times",
		 bytes, report->lost[CAT_GAP_CLIENT].bytes, report->lost[CAT_GAP_SOURCE].bytes,
		 report->lost[CAT_GAP_UNKNOWN].gaps);
	cat_report_line(report, text);
}

/* Return: false with a line if reports in JSON are missing. */
static bool cat_report_check_json(struct cat_report *report)
{
	if (!report->json || !ferror(report->json))
		return true;
	cat_report_line(report, "the reports in JSON could not be written completely");
	return false;
}

bool cat_report_end(struct cat_report *report, uint64_t bytes, int status)
{
	json_t *members = json_pack("{s:I, s:i}", "bytes", (json_int_t)bytes, "status", status);

	for (size_t i = 0; i < CAT_GAP_ORIGINS; i++)
		json_object_set_new(members, cat_gap_name((enum cat_gap_origin)i),
				    json_pack("{s:I, s:I, s:I}", "gaps",
					      (json_int_t)report->lost[i].gaps, "blocks",
					      (json_int_t)report->lost[i].blocks, "bytes",
					      (json_int_t)report->lost[i].bytes));
	cat_progress_finish(report->progress);
	if (!report->quiet && cat_report_lost(report))
		cat_report_loss_line(report, bytes);
	cat_report_event(report, "end", members);
	return cat_report_check_json(report);
}

void cat_report_free(struct cat_report *report)
{
	if (!report)
		return;
	cat_progress_free(report->progress);
	if (report->json && report->json != stderr)
		fclose(report->json);
	free(report);
}
