// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/doctor_capture.h"

#include "ctl/kernel_file.h"
#include "ctl/nic.h"

#include <bsd/string.h>
#include <dirent.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Number of captures that are described. */
#define MAX_CAPTURES 16
/* Enough for the name of a process, as in /proc/PID/comm. */
#define COMM_TEXT 32

struct capture {
	unsigned int interface; /* index; 0: all interfaces */
	unsigned long inode;
	unsigned long user;
	long pid; /* 0: not known */
	char comm[COMM_TEXT];
};

struct captures {
	struct capture item[MAX_CAPTURES];
	size_t count, others; /* others: those without a place */
};

/*
 * Read a line of /proc/net/packet. A socket sees what is sent only if it takes every protocol: with a protocol it sees
 * what comes in, and with protocol 0 nothing.
 */
static bool capture_parse(const struct doctor *doctor, const char *line, struct capture *capture)
{
	unsigned int protocol, interface;

	*capture = (struct capture){ 0 };
	if (sscanf(line, "%*s %*u %*u %x %u %*u %*u %lu %lu", &protocol, &interface, &capture->user,
		   &capture->inode) != 4)
		return false;
	capture->interface = interface;
	return protocol == ETH_P_ALL && (!interface || nic_find(doctor, interface));
}

static void captures_read(const struct doctor *doctor, FILE *file, struct captures *captures)
{
	struct capture capture;
	char line[256];

	while (fgets(line, sizeof(line), file)) {
		if (!capture_parse(doctor, line, &capture))
			continue;
		if (captures->count < MAX_CAPTURES)
			captures->item[captures->count++] = capture;
		else
			captures->others++;
	}
}

/* ---- whose socket it is ---- */

static void capture_set_process(const struct doctor *doctor, struct captures *captures,
				unsigned long inode, long pid)
{
	for (size_t i = 0; i < captures->count; i++) {
		struct capture *capture = &captures->item[i];

		if (capture->inode != inode || capture->pid)
			continue;
		capture->pid = pid;
		kernel_file_line(capture->comm, sizeof(capture->comm), doctor->proc, "%ld/comm",
				 pid);
	}
}

/* Look at the descriptors of a process, as far as this user may. */
static void captures_look_at_process(const struct doctor *doctor, struct captures *captures,
				     long pid)
{
	char path[KERNEL_FILE_PATH], target[64];
	const struct dirent *entry;
	unsigned long inode;
	DIR *directory;

	snprintf(path, sizeof(path), "%s/%ld/fd", doctor->proc, pid);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		ssize_t length =
			readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

		if (length <= 0)
			continue;
		target[length] = '\0';
		if (sscanf(target, "socket:[%lu]", &inode) == 1)
			capture_set_process(doctor, captures, inode, pid);
	}
	if (directory)
		closedir(directory);
}

static void captures_find_processes(const struct doctor *doctor, struct captures *captures)
{
	DIR *directory = opendir(doctor->proc);
	const struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid > 0)
			captures_look_at_process(doctor, captures, pid);
	}
	if (directory)
		closedir(directory);
}

/* ---- the findings ---- */

static void capture_report(const struct doctor *doctor, const struct capture *capture)
{
	const struct nic *nic = nic_find(doctor, capture->interface);
	char process[COMM_TEXT + 32], mend[FINDING_MEND];

	if (capture->pid)
		snprintf(process, sizeof(process), "process %ld (%s)", capture->pid, capture->comm);
	else
		snprintf(process, sizeof(process), "a process of user %lu", capture->user);
	if (capture->pid)
		snprintf(mend, sizeof(mend), "end it (kill %ld), or capture on another machine",
			 capture->pid);
	else
		strlcpy(mend, "end it; as root, doctor says which process it is", sizeof(mend));
	findings_add(doctor->findings, FINDING_WARNING, "capture",
		     "the kernel copies each packet for a packet socket that takes every protocol, "
		     "before any filter: no send is without a copy meanwhile",
		     mend, "%s captures packets of %s", process,
		     nic ? nic->name : "all interfaces");
}

void doctor_check_captures(const struct doctor *doctor)
{
	FILE *file = kernel_file_open(doctor->proc, "net/packet");
	struct captures captures = { .count = 0 };

	if (!file) {
		findings_add(doctor->findings, FINDING_SKIPPED, "capture", NULL, NULL,
			     "%s/net/packet cannot be read", doctor->proc);
		return;
	}
	captures_read(doctor, file, &captures);
	fclose(file);
	if (captures.count)
		captures_find_processes(doctor, &captures);
	for (size_t i = 0; i < captures.count; i++)
		capture_report(doctor, &captures.item[i]);
	if (captures.others)
		findings_add(doctor->findings, FINDING_WARNING, "capture", NULL, NULL,
			     "%zu more packet sockets", captures.others);
	if (!captures.count)
		findings_add(doctor->findings, FINDING_OK, "capture", NULL, NULL,
			     "no program captures packets that are sent");
}
