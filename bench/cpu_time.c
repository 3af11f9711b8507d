// SPDX-License-Identifier: BSD-2-Clause
#include "cpu_time.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static double own_cpu(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* The fields 14 and 15 of /proc/PID/stat; the second one, the name, may hold anything but ')'. */
static double cpu_of(pid_t pid)
{
	char path[64], line[1024];
	unsigned long utime, stime;
	const char *fields;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		err(1, "%s", path);
	if (!fgets(line, sizeof(line), file) || !(fields = strrchr(line, ')')) ||
	    sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &utime,
		   &stime) != 2)
		errx(1, "%s: cannot make sense of it", path);
	fclose(file);
	return (double)(utime + stime) / (double)sysconf(_SC_CLK_TCK);
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
	return (struct cpu_time){
		.own = own_cpu(),
		.server = server ? cpu_of(server) : 0,
		.machine = machine_cpu(),
	};
}

void cpu_time_print(const char *name, pid_t server, const struct cpu_time *from,
		    const struct cpu_time *to)
{
	double own_used = to->own - from->own, server_used = to->server - from->server;
	double other = to->machine - from->machine - own_used - server_used;

	printf(" %s=%.3f", name, own_used);
	if (server)
		printf(" server_cpu=%.3f other_cpu=%.3f", server_used, other > 0 ? other : 0);
}
