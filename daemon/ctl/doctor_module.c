// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/doctor_module.h"

#include "ctl/kernel_file.h"

#include <dirent.h>
#include <inttypes.h>

/* Number of returned blocks from which on the share of those in quarantine says something. */
#define ENOUGH_RECYCLED 100

/* A counter of a device that should be 0. */
struct module_counter {
	const char *name, *why, *mend;
};

static const struct module_counter module_counters[] = {
	{ "overruns", "the device filled blocks that were never read: each is a loss",
	  "raise ring-size, or give the daemon a processor of its own (CPUAffinity=)" },
	{ "stalls",
	  "every block was in use, and the DMA engine had to wait: data is lost unless the "
	  "device can wait",
	  "raise ring-size, or look for clients that are far behind: dmacastctl clients" },
	{ "errors", "transfers failed, and their data is lost",
	  "look at the log of the kernel: dmesg | grep dmacast" },
	{ "left_refused",
	  "sockets keep pages of blocks, and no new pages are allowed in their place",
	  "look for clients that do not acknowledge: dmacastctl clients; lower their "
	  "user-timeout" },
};

static void module_check_counter(const struct doctor *doctor, const char *device,
				 const struct module_counter *counter)
{
	int64_t value =
		kernel_file_integer(doctor->sys, "class/dmacast/%s/%s", device, counter->name);

	if (value > 0)
		findings_add(doctor->findings, FINDING_WARNING, "device", counter->why,
			     counter->mend, "%s: %s = %" PRId64, device, counter->name, value);
}

/* Some blocks in quarantine are normal: the kernel reports a send shortly before it drops the pages. */
static void module_check_quarantine(const struct doctor *doctor, const char *device)
{
	int64_t quarantined =
		kernel_file_integer(doctor->sys, "class/dmacast/%s/quarantined", device);
	int64_t recycled = kernel_file_integer(doctor->sys, "class/dmacast/%s/recycled", device);
	int64_t replaced = kernel_file_integer(doctor->sys, "class/dmacast/%s/replaced", device);
	bool is_much = recycled >= ENOUGH_RECYCLED && quarantined > recycled / 2;

	findings_add(
		doctor->findings, is_much || replaced > 0 ? FINDING_WARNING : FINDING_OK, "device",
		"blocks come back while sockets still refer to their pages: completions come too "
		"early, or pages stay in queues and captures",
		"look at tcp_mtu_probing and captures above, and at the queues: tc -s qdisc",
		"%s: %" PRId64 " blocks returned, %" PRId64 " of them through quarantine, %" PRId64
		" got new pages",
		device, recycled, quarantined, replaced);
}

static void module_check_device(const struct doctor *doctor, const char *device)
{
	for (size_t i = 0; i < sizeof(module_counters) / sizeof(module_counters[0]); i++)
		module_check_counter(doctor, device, &module_counters[i]);
	module_check_quarantine(doctor, device);
}

void doctor_check_module(const struct doctor *doctor)
{
	char path[KERNEL_FILE_PATH];
	const struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "%s/class/dmacast", doctor->sys);
	directory = opendir(path);
	if (!directory) {
		findings_add(doctor->findings, FINDING_OK, "device", NULL, NULL,
			     "dmacast.ko is not loaded; only DMA engines need it");
		return;
	}
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] != '.')
			module_check_device(doctor, entry->d_name);
	}
	closedir(directory);
}
