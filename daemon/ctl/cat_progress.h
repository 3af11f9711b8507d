/* SPDX-License-Identifier: BSD-2-Clause */
/* The line on a terminal that shows how a transfer goes. */
#ifndef DMACAST_CAT_PROGRESS_H
#define DMACAST_CAT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Time between two lines. */
#define CAT_PROGRESS_NS 500000000ULL

struct cat_progress;

/** cat_progress_create() - show progress on standard error if @shown, else nothing. NULL without memory. */
struct cat_progress *cat_progress_create(bool shown);

/** cat_progress_note_bytes() - note the total of received bytes. */
void cat_progress_note_bytes(struct cat_progress *progress, uint64_t total);

/** cat_progress_note_lag() - note the time of capture of the last block, CLOCK_REALTIME. */
void cat_progress_note_lag(struct cat_progress *progress, uint64_t captured_ns);

/** cat_progress_note_gap() - note a gap. @bytes: 0 if unknown */
void cat_progress_note_gap(struct cat_progress *progress, uint64_t bytes);

/** cat_progress_draw() - write the line if it is due. Return: monotonic time when it is due next; 0: never. */
uint64_t cat_progress_draw(struct cat_progress *progress, uint64_t now_ns);

/** cat_progress_clear() - remove the line, so that a message can be written. */
void cat_progress_clear(struct cat_progress *progress);

/** cat_progress_finish() - write the line for the last time, and leave it. */
void cat_progress_finish(struct cat_progress *progress);

/** cat_progress_free() - free; NULL is allowed. */
void cat_progress_free(struct cat_progress *progress);

#endif
