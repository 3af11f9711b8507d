/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report - the result of a run: expectations of the command line, and the line on stdout.
 */
#ifndef FEEDCLIENT_REPORT_H
#define FEEDCLIENT_REPORT_H

/** report_verify() - count what --expect-end, --expect-bytes, --spread and --min-rate find wrong. */
void report_verify(void);

/** report_print() - print the line of key=value pairs that main.c describes. */
void report_print(void);

#endif
