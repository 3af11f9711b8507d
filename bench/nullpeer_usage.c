// SPDX-License-Identifier: BSD-2-Clause
#include "nullpeer_usage.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static double own_usage(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* The fields 14 and 15 of /proc/PID/stat; the second one, the name, may hold anything but ')'. */
static double usage_of(pid_t pid)
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
static double machine_usage(void)
{
	unsigned long user, nice, system, irq, softirq;
	FILE *file = fopen("/proc/stat", "re");

	if (!file || fscanf(file, "cpu %lu %lu %lu %*u %*u %lu %lu", &user, &nice, &system, &irq,
			    &softirq) != 5)
		errx(1, "/proc/stat: cannot make sense of it");
	fclose(file);
	return (double)(user + nice + system + irq + softirq) / (double)sysconf(_SC_CLK_TCK);
}

struct usage usage_read(pid_t server)
{
	return (struct usage){
		.own = own_usage(),
		.server = server ? usage_of(server) : 0,
		.machine = machine_usage(),
	};
}
