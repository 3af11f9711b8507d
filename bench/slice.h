/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time slices: servers that are compared are measured at the same time, one slice after the other. In its own slice a
 * server and its clients have the machine; in the other slices both are stopped (SIGSTOP), and their clock stands
 * still. A disturbance that is longer than some slices therefore affects all servers alike.
 *
 * The clients, which are this process, stop the server and then themselves. Their parent notices that by waitpid()
 * with WUNTRACED, continues the next process, and finally this one again, by SIGCONT.
 */
#ifndef BENCH_SLICE_H
#define BENCH_SLICE_H

#include "cpu_time.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct slice {
	pid_t server;
	uint64_t length_ns;   /* 0: no slices, this process always has the machine */
	uint64_t ends_ns;     /* end of the slice by slice_clock_ns(); UINT64_MAX without slices */
	uint64_t away_ns;     /* time for which this process was stopped */
	struct cpu_time away; /* CPU time used in that time */
};

/** slice_begin() - begin the first slice. @server: a process without children; may be 0 if @length_us is 0. */
void slice_begin(struct slice *slice, pid_t server, uint64_t length_us);

/** slice_clock_ns() - return the monotonic time, which stands still in other slices. */
uint64_t slice_clock_ns(const struct slice *slice);

/** slice_cpu_time() - like cpu_time_read(), but for own slices only. */
struct cpu_time slice_cpu_time(const struct slice *slice);

/** slice_is_over() - return true if the slice has ended at @now_ns, by slice_clock_ns(). */
bool slice_is_over(const struct slice *slice, uint64_t now_ns);

/** slice_stop_server() - stop the server and wait until it has stopped, if there are slices. Exit on failure. */
void slice_stop_server(const struct slice *slice);

/** slice_pass() - stop this process until its next slice, then continue the server. */
void slice_pass(struct slice *slice);

#endif
