// SPDX-License-Identifier: BSD-2-Clause
#include "lib/process.h"

#include "lib/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Field 22 of /proc/self/stat, after the name, which may hold anything. */
static uint64_t start_ticks(void)
{
	FILE *file = fopen("/proc/self/stat", "re");
	unsigned long long ticks = 0;
	char line[1024], *rest;

	if (!file)
		return 0;
	if (fgets(line, sizeof(line), file) && (rest = strrchr(line, ')')) &&
	    sscanf(rest + 1,
		   " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s"
		   " %llu",
		   &ticks) != 1)
		ticks = 0;
	fclose(file);
	return ticks;
}

double process_start_time(void)
{
	static double start; /* computed once, since it must stay the same when a clock is set */

	if (start == 0)
		start = (double)(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME)) / 1e9 +
			(double)start_ticks() / (double)sysconf(_SC_CLK_TCK);
	return start;
}

double process_cpu_seconds(void)
{
	return (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
}

static uint64_t memory_pages(unsigned int column)
{
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t pages[2] = { 0, 0 };

	if (!file)
		return 0;
	if (fscanf(file, "%" SCNu64 " %" SCNu64, &pages[0], &pages[1]) != 2)
		pages[column] = 0;
	fclose(file);
	return pages[column];
}

uint64_t process_virtual_bytes(void)
{
	return memory_pages(0) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t process_resident_bytes(void)
{
	return memory_pages(1) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t process_open_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	uint64_t count = 0;

	if (!directory)
		return 0;
	while ((entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count - 1; /* without the one of this directory */
}

void process_keep_standard_fds(int flags)
{
	int fd;

	do {
		fd = open("/dev/null", flags);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

uint64_t process_max_fds(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) ? 0 : limit.rlim_cur;
}
