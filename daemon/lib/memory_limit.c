// SPDX-License-Identifier: BSD-2-Clause
#include "lib/memory_limit.h"

#include "lib/read_proc_integer.h"

#include <bsd/string.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The files of a memory cgroup in one version of the interface. */
struct cgroup_files {
	const char *limit[2]; /* the second one may be NULL */
	const char *usage;
	/* In memory.stat: bytes of files that the kernel takes away when memory is short. */
	const char *cached[2];
};

static const struct cgroup_files version_1 = {
	.limit = { "memory.limit_in_bytes" },
	.usage = "memory.usage_in_bytes",
	.cached = { "total_inactive_file", "total_active_file" },
};

/* Above memory.high the process is not ended, but stopped for long times. */
static const struct cgroup_files version_2 = {
	.limit = { "memory.max", "memory.high" },
	.usage = "memory.current",
	.cached = { "inactive_file", "active_file" },
};

/* Return: the number in a file of a cgroup; UINT64_MAX: there is no such file, or it has no number. */
static uint64_t cgroup_number(const char *directory, const char *name, char file[MEMORY_LIMIT_FILE])
{
	if (snprintf(file, MEMORY_LIMIT_FILE, "%s/%s", directory, name) >= MEMORY_LIMIT_FILE)
		return UINT64_MAX;
	return (uint64_t)read_proc_integer(file); /* UINT64_MAX for -1 */
}

/* Return: the sum of the numbers with these names in memory.stat, in bytes. */
static uint64_t cgroup_cached(const char *directory, const struct cgroup_files *files)
{
	char path[MEMORY_LIMIT_FILE], name[64];
	uint64_t number, sum = 0;
	FILE *stream;

	if (snprintf(path, sizeof(path), "%s/memory.stat", directory) >= (int)sizeof(path))
		return 0;
	stream = fopen(path, "re");
	if (!stream)
		return 0;
	while (fscanf(stream, "%63s %" SCNu64, name, &number) == 2) {
		if (!strcmp(name, files->cached[0]) || !strcmp(name, files->cached[1]))
			sum += number;
	}
	fclose(stream);
	return sum;
}

/* Take the limits of one cgroup into account. */
static void memory_limit_add(struct memory_limit *limit, const char *directory,
			     const struct cgroup_files *files)
{
	char file[MEMORY_LIMIT_FILE], ignored[MEMORY_LIMIT_FILE];
	uint64_t used = cgroup_number(directory, files->usage, ignored);
	uint64_t cached = cgroup_cached(directory, files);

	if (used == UINT64_MAX)
		return;
	used -= cached < used ? cached : used;
	for (size_t i = 0; i < 2 && files->limit[i]; i++) {
		uint64_t most = cgroup_number(directory, files->limit[i], file);
		uint64_t available = most > used ? most - used : 0;

		if (most == UINT64_MAX || available >= limit->available)
			continue;
		limit->available = available;
		limit->limit = most;
		strlcpy(limit->file, file, sizeof(limit->file));
	}
}

/*
 * Take the cgroup @path below @root into account, and each one above it. In a container the path may be
 * that of the host, and not exist; then the root is what limits the container.
 */
static void memory_limit_climb(struct memory_limit *limit, const char *root, const char *path,
			       const struct cgroup_files *files)
{
	char directory[MEMORY_LIMIT_FILE];
	size_t above = strlen(root);

	if (snprintf(directory, sizeof(directory), "%s%s", root, path) >= (int)sizeof(directory))
		directory[above] = '\0';
	for (;;) {
		char *slash = strrchr(directory + above, '/');

		memory_limit_add(limit, directory, files);
		if (!slash)
			return;
		*slash = '\0';
	}
}

/* @line: "4:memory:/path" in version 1, "0::/path" in version 2 */
static void memory_limit_take_line(struct memory_limit *limit, char *line, const char *mount)
{
	char root[MEMORY_LIMIT_FILE], *rest = line;
	const char *number = strsep(&rest, ":"), *controllers = strsep(&rest, ":");

	if (!rest)
		return;
	if (!strcmp(number, "0") && !*controllers) {
		memory_limit_climb(limit, mount, rest, &version_2);
		/* Beside version 1. */
		snprintf(root, sizeof(root), "%s/unified", mount);
		memory_limit_climb(limit, root, rest, &version_2);
	} else if (!strcmp(controllers, "memory")) {
		snprintf(root, sizeof(root), "%s/memory", mount);
		memory_limit_climb(limit, root, rest, &version_1);
	}
}

static void memory_limit_take_machine(struct memory_limit *limit)
{
	FILE *file = fopen("/proc/meminfo", "re");
	uint64_t kilobytes;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kilobytes) == 1)
			limit->available = kilobytes * 1024;
	}
	if (file)
		fclose(file);
}

void memory_limit_find(struct memory_limit *limit, const char *group, const char *mount)
{
	FILE *file = fopen(group ? group : "/proc/self/cgroup", "re");
	char line[2 * MEMORY_LIMIT_FILE];

	*limit = (struct memory_limit){ .available = UINT64_MAX, .file = "/proc/meminfo" };
	memory_limit_take_machine(limit);
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		memory_limit_take_line(limit, line, mount);
	}
	if (file)
		fclose(file);
}
