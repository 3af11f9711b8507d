/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU time that was used, in seconds. That of processes is exact, that of the machine in ticks. */
#ifndef BENCH_CPU_TIME_H
#define BENCH_CPU_TIME_H

#include <sys/types.h>

struct cpu_time {
	double own, server;
	double softirq; /* of the kernel's threads for what interrupts left, ksoftirqd/N */
	double machine; /* of all processes */
};

/** cpu_time_init() - before anything is measured: it looks through all processes, which takes milliseconds. */
void cpu_time_init(void);

/**
 * cpu_time_read() - so far. @server: a process, which counts with all that it started, or 0. Ends the
 * program when that is gone.
 */
struct cpu_time cpu_time_read(pid_t server);

/** cpu_time_print() - what was used between: " NAME=... server_cpu=... softirq_cpu=... other_cpu=...". */
void cpu_time_print(const char *name, pid_t server, const struct cpu_time *from,
		    const struct cpu_time *to);

#endif
