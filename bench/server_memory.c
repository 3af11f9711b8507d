// SPDX-License-Identifier: BSD-2-Clause
#include "server_memory.h"

#include "process_tree.h"

#include <stdio.h>
#include <unistd.h>

/* Return the resident memory of a process in bytes; 0 if it has ended. */
static double server_memory_resident(pid_t pid)
{
	unsigned long pages = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Return the bytes in the send queues in @table, one of the kernel's. */
static double server_memory_queued(const char *table)
{
	FILE *file = fopen(table, "re");
	unsigned int queued;
	double sum = 0;
	char line[512];

	if (!file) /* no IPv6 */
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, " %*u: %*[0-9A-F]:%*x %*[0-9A-F]:%*x 01 %x:", &queued) == 1)
			sum += queued;
	fclose(file);
	return sum;
}

double server_memory_read(pid_t server)
{
	return process_tree_sum(server, server_memory_resident) +
	       server_memory_queued("/proc/self/net/tcp") +
	       server_memory_queued("/proc/self/net/tcp6");
}
