/* SPDX-License-Identifier: BSD-2-Clause */
/* The rate of a counter over about the last second, without a timer: each change may move the points. */
#ifndef DMACAST_RATE_H
#define DMACAST_RATE_H

#include <stdint.h>

struct state;

struct rate_point {
	uint64_t ns; /* monotonic */
	uint64_t count;
};

/* All zero: the counter has not changed yet. */
struct rate {
	struct rate_point previous, current;
	uint64_t changed_ns; /* monotonic; 0: never */
};

/** rate_note() - note that the counter has changed to @count. @now_ns: monotonic */
void rate_note(struct rate *rate, uint64_t count, uint64_t now_ns);

/**
 * rate_per_second() - return the rate now, measured since one to two seconds ago, or since the change before the
 * last one if that is longer ago; 0 if the counter has not changed for two seconds, and for twice as long as usual.
 */
uint64_t rate_per_second(const struct rate *rate, uint64_t count, uint64_t now_ns);

/** rate_transfer() - save or restore the object @name; see state.h. */
void rate_transfer(struct rate *rate, struct state *state, const char *name);

#endif
