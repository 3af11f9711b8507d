// SPDX-License-Identifier: BSD-2-Clause
#include "cpu_time.h"

#include "clock.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_S 1e9

/*
 * Of the children that ended: the fields 16 and 17 of /proc/PID/stat, in ticks; the second one, the name,
 * may hold anything but ')'. 0 when the process is gone.
 */
static double cpu_of_reaped(pid_t pid)
{
	char path[64], line[1024];
	const char *fields = NULL;
	long user = 0, system = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fgets(line, sizeof(line), file))
		fields = strrchr(line, ')');
	fclose(file);
	if (!fields ||
	    sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %ld %ld", &user,
		   &system) != 2)
		errx(1, "%s: cannot make sense of it", path);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* With all that it started. A process that is gone is counted where it was reaped. */
static double cpu_of(pid_t pid)
{
	double used = cpu_of_reaped(pid);
	char path[96];
	clockid_t clock;
	FILE *children;
	int child;

	if (clock_getcpuclockid(pid, &clock) == 0)
		used += (double)clock_ns(clock) / NS_PER_S;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	children = fopen(path, "re");
	while (children && fscanf(children, "%d", &child) == 1)
		used += cpu_of(child);
	if (children)
		fclose(children);
	return used;
}

/* All CPUs, without the time that they were idle or waiting for a disk. */
static double machine_cpu(void)
{
	unsigned long user, nice, system, irq, softirq;
	FILE *file = fopen("/proc/stat", "re");

	if (!file || fscanf(file, "cpu %lu %lu %lu %*u %*u %lu %lu", &user, &nice, &system, &irq,
			    &softirq) != 5)
		errx(1, "/proc/stat: cannot make sense of it");
	fclose(file);
	return (double)(user + nice + system + irq + softirq) / (double)sysconf(_SC_CLK_TCK);
}

struct cpu_time cpu_time_read(pid_t server)
{
	clockid_t clock;

	if (server && clock_getcpuclockid(server, &clock))
		errx(1, "process %d is gone", (int)server);
	return (struct cpu_time){
		.own = (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / NS_PER_S,
		.server = server ? cpu_of(server) : 0,
		.machine = machine_cpu(),
	};
}

void cpu_time_print(const char *name, pid_t server, const struct cpu_time *from,
		    const struct cpu_time *to)
{
	double own_used = to->own - from->own, server_used = to->server - from->server;
	double other = to->machine - from->machine - own_used - server_used;

	printf(" %s=%.6f", name, own_used);
	if (server)
		printf(" server_cpu=%.6f other_cpu=%.3f", server_used, other > 0 ? other : 0);
}
