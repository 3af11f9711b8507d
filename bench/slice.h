/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time slices: servers that are compared are measured at the same time, a slice each in turn. In its own slice a server
 * and its clients have the machine; in the others' both are stopped (SIGSTOP), and their clock stands still. So what
 * disturbs a machine for longer than some slices disturbs all alike.
 *
 * The clients, which are this process, stop the server and then themselves. Whoever started them sees that by waitpid()
 * with WUNTRACED, has the next one go on, and when it is their turn again this one, by SIGCONT.
 */
#ifndef BENCH_SLICE_H
#define BENCH_SLICE_H

#include "cpu_time.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct slice {
	pid_t server;
	uint64_t length_ns;   /* 0: there are none, the machine is this process's all the time */
	uint64_t ends_ns;     /* by slice_clock_ns(); UINT64_MAX if there are none */
	uint64_t away_ns;     /* so long this process was stopped */
	struct cpu_time away; /* what others used of the machine meanwhile */
};

/** slice_begin() - begin with the first slice. @server: a process without children, 0 only if @length_us is. */
void slice_begin(struct slice *slice, pid_t server, uint64_t length_us);

/** slice_clock_ns() - monotonic time without that of others' slices. */
uint64_t slice_clock_ns(const struct slice *slice);

/** slice_cpu_time() - as cpu_time_read(), of own slices only. */
struct cpu_time slice_cpu_time(const struct slice *slice);

/** slice_is_over() - is it, at @now_ns by slice_clock_ns()? */
bool slice_is_over(const struct slice *slice, uint64_t now_ns);

/** slice_stop_server() - and wait until it has stopped, if there are slices. Ends the program if that cannot be. */
void slice_stop_server(const struct slice *slice);

/** slice_pass() - stop this process, too, until its next slice, in which the server goes on. The clock stands still meanwhile. */
void slice_pass(struct slice *slice);

#endif
