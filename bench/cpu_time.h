/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU time in seconds: exact for processes, in ticks for the machine. */
#ifndef BENCH_CPU_TIME_H
#define BENCH_CPU_TIME_H

#include <sys/types.h>

struct cpu_time {
	double own, server;
	double softirq; /* of the kernel's threads ksoftirqd/N */
	double machine; /* all processes together */
};

/** cpu_time_init() - find ksoftirqd; call it before measuring, because it reads all of /proc. */
void cpu_time_init(void);

/**
 * cpu_time_read() - return the CPU time used until now. Exit if @server has ended.
 * @server: a process, counted with its descendants; 0: none
 */
struct cpu_time cpu_time_read(pid_t server);

/** cpu_time_print() - print the difference: " NAME=... server_cpu=... softirq_cpu=... other_cpu=...". */
void cpu_time_print(const char *name, pid_t server, const struct cpu_time *from,
		    const struct cpu_time *to);

#endif
