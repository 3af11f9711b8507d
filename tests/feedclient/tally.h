/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tally - what happened on all connections together: counts for the report, and failures.
 */
#ifndef FEEDCLIENT_TALLY_H
#define FEEDCLIENT_TALLY_H

#include <stdint.h>

/* How a connection ended. */
enum ending {
	ENDING_NONE,
	ENDING_EOF,
	ENDING_RESET,
	ENDING_DONE,	/* --bytes */
	ENDING_LEFT,	/* --reset, --leave */
	ENDING_STOPPED, /* was open when the run ended */
	ENDING_FAILED,	/* wrong bytes, no connection, an unexpected error */
	ENDINGS,
};

struct tally {
	uint64_t endings[ENDINGS];
	uint64_t stalled_endings[ENDINGS];
	uint64_t connected;
	uint64_t joins;
	uint64_t bytes;
	uint64_t sent;
	uint64_t first_offset_min;
	uint64_t first_offset_max;
	uint64_t gaps;
	uint64_t gap_bytes;
	uint64_t gap_blocks;
	uint64_t cut_gaps;
	uint64_t unsure;
	uint64_t frames; /* blocks with --framed, and what else comes with it */
	uint64_t metadata;
	uint64_t preambles;
	uint64_t ends;
	uint64_t starts;
	uint64_t lost_blocks;
	uint64_t lost_bytes;
	uint64_t bad;
	uint64_t failures;
};

extern struct tally tally;

/** tally_fail() - count a failure and print it; of many failures, print only the first ones. */
void tally_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** tally_status() - print how many failures were not printed; return the exit status. */
int tally_status(void);

#endif
