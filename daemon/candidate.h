/* SPDX-License-Identifier: BSD-2-Clause */
/* A program that may take the place of this one, and the question whether it understands a handover. */
#ifndef DMACAST_CANDIDATE_H
#define DMACAST_CANDIDATE_H

struct candidate;
struct event_base;

/* Enough for each reason that is against a candidate, with its path. */
#define CANDIDATE_WRONG_TEXT 512

/**
 * candidate_check() - run the program with --handover-format, for at most 5 seconds, while the event loop goes on.
 * @path: absolute; copied
 * @checked: called once from the event loop, unless candidate_free() comes first. @wrong: NULL: it may take over
 * @wrong: out: on failure, why
 *
 * Return: NULL after a failure.
 */
struct candidate *candidate_check(struct event_base *base, const char *path,
				  void (*checked)(void *argument, const char *wrong),
				  void *argument, char wrong[CANDIDATE_WRONG_TEXT]);

/** candidate_free() - end the program if it runs, and free everything. NULL is allowed. */
void candidate_free(struct candidate *candidate);

#endif
