// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/doctor_process.h"

#include "ctl/ctl_answer.h"
#include "ctl/kernel_file.h"
#include "lib/descriptors.h"
#include "lib/locked_memory.h"
#include "lib/units.h"
#include "lib/zerocopy_needs.h"

#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

/* Number of busy clients for which locked memory should be enough while no daemon says how many there may be. */
#define USUAL_CLIENTS 8

/* The process that is looked at, as a directory of /proc. */
struct process_name {
	char directory[32];
	const char *text; /* for messages */
};

static struct process_name process_name_of(const struct doctor *doctor)
{
	struct process_name name = { .text = doctor->pid ? "dmacastd" : "this shell" };

	if (doctor->pid)
		snprintf(name.directory, sizeof(name.directory), "%ld", (long)doctor->pid);
	else
		strlcpy(name.directory, "self", sizeof(name.directory));
	return name;
}

/*
 * Read a soft limit by its name in /proc/PID/limits.
 * @limit: out: UINT64_MAX for "unlimited"
 *
 * Return: false if it cannot be read.
 */
static bool process_limit(const struct doctor *doctor, const struct process_name *process,
			  const char *name, uint64_t *limit)
{
	char columns[128], value[32];

	if (!kernel_file_value(columns, sizeof(columns), name, doctor->proc, "%s/limits",
			       process->directory) ||
	    sscanf(columns, "%31s", value) != 1)
		return false;
	*limit = strcmp(value, "unlimited") ? strtoull(value, NULL, 10) : UINT64_MAX;
	return true;
}

/* Return true if the process is in the first user namespace. */
static bool process_in_first_namespace(const struct doctor *doctor,
				       const struct process_name *process)
{
	char line[128];

	if (!kernel_file_line(line, sizeof(line), doctor->proc, "%s/uid_map", process->directory))
		return errno == ENOENT; /* no user namespaces */
	return uid_map_is_complete(line);
}

/* Return true if the process has CAP_IPC_LOCK for the machine: then its locked memory has no limit. */
static bool process_may_lock(const struct doctor *doctor, const struct process_name *process)
{
	char capabilities[32];

	return kernel_file_value(capabilities, sizeof(capabilities), "CapEff:", doctor->proc,
				 "%s/status", process->directory) &&
	       (strtoull(capabilities, NULL, 16) >> CAP_IPC_LOCK & 1) &&
	       process_in_first_namespace(doctor, process);
}

/* ---- what the daemon needs ---- */

/* Return: the sum of this member over the sections of all streams. @zerocopy: only of those with zero-copy */
static uint64_t process_sections(const struct doctor *doctor, const char *name, bool zerocopy)
{
	const json_t *stream, *section;
	uint64_t sum = 0;
	size_t i, j;

	json_array_foreach(doctor->streams, i, stream)
	{
		json_array_foreach(json_object_get(stream, "sections"), j, section)
		{
			const char *mode = json_string_value(json_object_get(section, "zerocopy"));

			if (!zerocopy || !mode || strcmp(mode, "never"))
				sum += answer_count(section, name);
		}
	}
	return sum;
}

static uint64_t process_refused_sends(const struct doctor *doctor)
{
	const json_t *stream;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(doctor->streams, i, stream) sum += answer_count(stream, "enobufs");
	return sum;
}

/* ---- locked memory ---- */

static enum finding_level process_memory_level(const struct doctor *doctor, uint64_t enough_for)
{
	if (!doctor->pid)
		return enough_for < USUAL_CLIENTS ? FINDING_WARNING : FINDING_NOTE;
	if (enough_for < process_sections(doctor, "clients", true) || process_refused_sends(doctor))
		return FINDING_WARNING;
	return enough_for < process_sections(doctor, "max_clients", true) ? FINDING_NOTE
									  : FINDING_OK;
}

static void process_report_memory(const struct doctor *doctor, const struct process_name *process,
				  uint64_t limit)
{
	uint64_t enough_for = limit / PINNED_PER_CLIENT;
	enum finding_level level = process_memory_level(doctor, enough_for);
	char text[UNITS_TEXT], wanted[96] = "";

	if (doctor->pid)
		snprintf(wanted, sizeof(wanted), "; there may be %" PRIu64 ", there are %" PRIu64,
			 process_sections(doctor, "max_clients", true),
			 process_sections(doctor, "clients", true));
	findings_add(
		doctor->findings, level, "memlock",
		"the kernel counts a block once for each client that it is being sent to; beyond "
		"the limit, data is copied",
		"LimitMEMLOCK=infinity in a drop-in of the unit, or ulimit -l unlimited before the "
		"start",
		"%s: RLIMIT_MEMLOCK = %s: enough for about %" PRIu64 " busy clients%s",
		process->text, units_format_about(limit, text), enough_for, wanted);
}

static void process_check_memory(const struct doctor *doctor, const struct process_name *process)
{
	uint64_t limit;

	if (!process_limit(doctor, process, "Max locked memory", &limit))
		findings_add(doctor->findings, FINDING_SKIPPED, "memlock", NULL, NULL,
			     "%s: its limits cannot be read", process->text);
	else if (limit == UINT64_MAX)
		findings_add(doctor->findings, FINDING_OK, "memlock", NULL, NULL,
			     "%s: locked memory is not limited", process->text);
	else if (process_may_lock(doctor, process))
		findings_add(doctor->findings, FINDING_OK, "memlock", NULL, NULL,
			     "%s: locked memory is not limited, by CAP_IPC_LOCK", process->text);
	else
		process_report_memory(doctor, process, limit);
}

/* ---- descriptors ---- */

/* Return: number of open descriptors; 0: unknown, since only root and the process's user may look. */
static uint64_t process_descriptors(const struct doctor *doctor, const struct process_name *process)
{
	char path[KERNEL_FILE_PATH];
	const struct dirent *entry;
	uint64_t count = 0;
	DIR *directory;

	snprintf(path, sizeof(path), "%s/%s/fd", doctor->proc, process->directory);
	directory = opendir(path);
	if (!directory)
		return 0;
	while ((entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

static void process_report_descriptors(const struct doctor *doctor,
				       const struct process_name *process, uint64_t limit)
{
	uint64_t reserve = descriptors_reserve_of(limit), open = 0,
		 clients = process_sections(doctor, "max_clients", false);
	char open_text[48] = "";
	bool is_short;

	if (doctor->pid)
		open = process_descriptors(doctor, process);
	if (open)
		snprintf(open_text, sizeof(open_text), ", %" PRIu64 " are open", open);
	is_short = limit < clients + OTHER_FILES + reserve || open + reserve >= limit;
	findings_add(doctor->findings, is_short ? FINDING_WARNING : FINDING_OK, "descriptors",
		     "clients that would take the last ones are refused",
		     "LimitNOFILE= in a drop-in of the unit, or ulimit -Hn, or a lower max-clients",
		     "%s: RLIMIT_NOFILE = %" PRIu64 "%s; clients that may come: %" PRIu64,
		     process->text, limit, open_text, clients);
}

/* The daemon raises its limit when it starts, so this shell's soft limit says nothing. */
static void process_check_descriptors(const struct doctor *doctor,
				      const struct process_name *process)
{
	uint64_t limit;

	if (!doctor->pid)
		return;
	if (process_limit(doctor, process, "Max open files", &limit))
		process_report_descriptors(doctor, process, limit);
	else
		findings_add(doctor->findings, FINDING_SKIPPED, "descriptors", NULL, NULL,
			     "%s: its limits cannot be read", process->text);
}

void doctor_check_process(const struct doctor *doctor)
{
	struct process_name process = process_name_of(doctor);

	process_check_memory(doctor, &process);
	process_check_descriptors(doctor, &process);
}
