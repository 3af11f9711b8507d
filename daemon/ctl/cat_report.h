/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a transfer reports: lines on standard error, JSON lines for programs, the line of progress, and the sums of
 * all losses. dmacastctl(8) describes the JSON.
 */
#ifndef DMACAST_CAT_REPORT_H
#define DMACAST_CAT_REPORT_H

#include "ctl/cat_gap.h"
#include "lib/frame.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

struct cat_report;

struct cat_report_options {
	bool quiet;	       /* neither progress nor lines about gaps */
	bool json;	       /* JSON lines, in place of text if they go to standard error */
	const char *json_path; /* file for them; NULL: standard error */
};

/** cat_report_create() - return NULL after an error, which is printed. */
struct cat_report *cat_report_create(const struct cat_report_options *options);

/** cat_report_progress() - return the line of progress. */
struct cat_progress *cat_report_progress(struct cat_report *report);

/** cat_report_event() - write a JSON line. @members: taken over; NULL is allowed */
void cat_report_event(struct cat_report *report, const char *event, json_t *members);

/** cat_report_error() - report an error that ends the transfer. */
void cat_report_error(struct cat_report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** cat_report_verror() - as cat_report_error(). */
void cat_report_verror(struct cat_report *report, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/** cat_report_notice() - report something that needs no action now. @event: name for JSON */
void cat_report_notice(struct cat_report *report, const char *event, const char *text);

/** cat_report_connected() - report that a stream is received from @url. */
void cat_report_connected(struct cat_report *report, const char *url);

/** cat_report_disconnected() - report that a connection ended, or could not be made, and what happens next. */
void cat_report_disconnected(struct cat_report *report, const char *url, const char *reason,
			     const char *next);

/** cat_report_gap() - report and count a gap. @frame: the one after it; NULL: the stream is raw */
void cat_report_gap(struct cat_report *report, const struct cat_gap *gap,
		    const struct frame *frame);

/** cat_report_file() - report that a file is complete. */
void cat_report_file(struct cat_report *report, const char *path, uint64_t bytes);

/** cat_report_lost() - return true if anything was lost. */
bool cat_report_lost(const struct cat_report *report);

/**
 * cat_report_end() - report the sums.
 * @bytes: of payload, received
 * @status: the exit status
 *
 * Return: false if reports in JSON could not be written.
 */
bool cat_report_end(struct cat_report *report, uint64_t bytes, int status);

/** cat_report_free() - free; NULL is allowed. */
void cat_report_free(struct cat_report *report);

#endif
