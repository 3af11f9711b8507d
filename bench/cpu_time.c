// SPDX-License-Identifier: BSD-2-Clause
#include "cpu_time.h"

#include "lib/clock.h"
#include "process_tree.h"

#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_CPUS 1024

/*
 * Return the CPU time of children that ended: fields 16 and 17 of /proc/PID/stat, in ticks. The last ')'
 * ends field 2, the name. 0 if the process has ended.
 */
static double cpu_time_of_reaped(pid_t pid)
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
		errx(1, "%s: unexpected content", path);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Return the CPU time of a process; that of a reaped one counts for its parent. */
static double cpu_time_of(pid_t pid)
{
	double used = cpu_time_of_reaped(pid);
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) == 0)
		used += (double)clock_ns(clock) / NS_PER_S;
	return used;
}

static bool is_ksoftirqd(const char *pid)
{
	char path[64], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = 0;
	fclose(file);
	return !strncmp(name, "ksoftirqd/", strlen("ksoftirqd/"));
}

/* Process ids of ksoftirqd threads, ended by 0. A container has its own ids and therefore none. */
static pid_t ksoftirqd[MAX_CPUS + 1];

void cpu_time_init(void)
{
	struct dirent *entry;
	size_t count = 0;
	DIR *proc = opendir("/proc");

	if (!proc)
		err(1, "/proc");
	while (count < MAX_CPUS && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]) && is_ksoftirqd(entry->d_name))
			ksoftirqd[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
	closedir(proc);
}

/*
 * Return the CPU time of ksoftirqd. If packets are delivered without a network card, these threads do
 * much of the work: they receive packets, process acknowledgements, and send what those allow.
 */
static double cpu_time_of_softirqs(void)
{
	double used = 0;
	clockid_t clock;

	for (size_t i = 0; ksoftirqd[i]; i++)
		if (clock_getcpuclockid(ksoftirqd[i], &clock) == 0)
			used += (double)clock_ns(clock) / NS_PER_S;
	return used;
}

/* Return the busy time of all CPUs, without idle time and waits for a disk. */
static double cpu_time_of_machine(void)
{
	unsigned long user, nice, system, irq, softirq;
	FILE *file = fopen("/proc/stat", "re");

	if (!file || fscanf(file, "cpu %lu %lu %lu %*u %*u %lu %lu", &user, &nice, &system, &irq,
			    &softirq) != 5)
		errx(1, "/proc/stat: unexpected content");
	fclose(file);
	return (double)(user + nice + system + irq + softirq) / (double)sysconf(_SC_CLK_TCK);
}

struct cpu_time cpu_time_read(pid_t server)
{
	clockid_t clock;

	if (server && clock_getcpuclockid(server, &clock))
		errx(1, "process %d has ended", (int)server);
	return (struct cpu_time){
		.own = (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / NS_PER_S,
		.server = server ? process_tree_sum(server, cpu_time_of) : 0,
		.softirq = cpu_time_of_softirqs(),
		.machine = cpu_time_of_machine(),
	};
}

void cpu_time_print(const char *name, pid_t server, const struct cpu_time *from,
		    const struct cpu_time *to)
{
	double own_used = to->own - from->own, server_used = to->server - from->server;
	double softirq_used = to->softirq - from->softirq;
	double other = to->machine - from->machine - own_used - server_used - softirq_used;

	printf(" %s=%.6f", name, own_used);
	if (server)
		printf(" server_cpu=%.6f softirq_cpu=%.6f other_cpu=%.3f", server_used,
		       softirq_used, other > 0 ? other : 0);
}
