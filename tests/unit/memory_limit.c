// SPDX-License-Identifier: BSD-2-Clause
/* Limits of memory cgroups, in made-up directories: both versions, parents, page cache, containers. */
#include "lib/memory_limit.h"

#include "tap.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char mount_point[] = "/tmp/dmacast-cgroup-XXXXXX";

static void write_text(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file))
		err(1, "%s", path);
}

static void empty_mount_point(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s/*", mount_point);
	if (system(command))
		errx(1, "%s", command);
}

/* Check what the process with @group in /proc/self/cgroup can get. @file: below the mount point */
static void check_limit(const char *group, uint64_t available, uint64_t most, const char *file)
{
	struct memory_limit limit;
	char path[256];

	write_text("self", group);
	snprintf(path, sizeof(path), "%s/self", mount_point);
	memory_limit_find(&limit, path, mount_point);
	check(limit.available == available && limit.limit == most, "%s: %" PRIu64 " of %" PRIu64,
	      group, limit.available, limit.limit);
	check(strstr(limit.file, file), "%s: %s", group, limit.file);
}

static void test_version_2(void)
{
	struct memory_limit limit;

	write_text("a/b/memory.max", "max\n");
	write_text("a/b/memory.high", "max\n");
	write_text("a/b/memory.current", "1000\n");
	write_text("a/memory.max", "500000\n");
	write_text("a/memory.high", "max\n");
	write_text("a/memory.current", "2000\n");
	check_limit("0::/a/b\n", 498000, 500000, "/a/memory.max");
	point("the limit of a parent");
	write_text("a/b/memory.high", "400000\n");
	check_limit("0::/a/b\n", 399000, 400000, "/a/b/memory.high");
	point("memory.high");
	write_text("a/b/memory.stat", "anon 1\ninactive_file 300\nactive_file 200\nkernel 9\n");
	check_limit("0::/a/b\n", 399500, 400000, "/a/b/memory.high");
	point("the page cache is not in use");
	write_text("a/b/memory.current", "400500\n");
	write_text("a/b/memory.stat", "anon 1\n");
	check_limit("0::/a/b\n", 0, 400000, "/a/b/memory.high");
	point("more in use than the limit");
	check_limit("0::/a\n", 498000, 500000, "/a/memory.max");
	memory_limit_find(&limit, "/nonexistent", mount_point);
	check(!limit.limit && limit.available > 500000, "%" PRIu64, limit.available);
	point("without a cgroup: the machine");
	empty_mount_point();
	write_text("memory.max", "70000\n");
	write_text("memory.current", "20000\n");
	check_limit("0::/of/the/host\n", 50000, 70000, "/memory.max");
	point("a container");
	empty_mount_point();
}

static void test_version_1(void)
{
	write_text("memory/memory.limit_in_bytes", "9223372036854771712\n");
	write_text("memory/memory.usage_in_bytes", "123456789\n");
	write_text("memory/a/memory.limit_in_bytes", "900000\n");
	write_text("memory/a/memory.usage_in_bytes", "100000\n");
	write_text("memory/a/memory.stat", "inactive_file 7\ntotal_inactive_file 50000\n");
	check_limit("4:cpu:/x\n3:memory:/a\n0::/\n", 850000, 900000,
		    "/memory/a/memory.limit_in_bytes");
	point("version 1");
	write_text("unified/c/memory.max", "600000\n");
	write_text("unified/c/memory.current", "0\n");
	check_limit("3:memory:/a\n0::/c\n", 600000, 600000, "/unified/c/memory.max");
	point("both versions");
}

int main(void)
{
	if (!mkdtemp(mount_point))
		err(1, "%s", mount_point);
	test_version_2();
	test_version_1();
	empty_mount_point();
	rmdir(mount_point);
	return tap_end();
}
