// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/doctor_kernel.h"

#include "ctl/kernel_file.h"
#include "lib/units.h"
#include "lib/zerocopy_needs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Least limit of a socket's send buffer, in bytes: what a client on a fast link has in flight. */
#define WANTED_SEND_BUFFER (1U << 20)

static unsigned int kernel_version(unsigned int major, unsigned int minor)
{
	return major << 16 | minor;
}

/* Return: the version of the running kernel as a number; 0: unknown. */
static unsigned int kernel_running(const struct doctor *doctor)
{
	unsigned int major, minor;
	char release[128];

	if (!kernel_file_line(release, sizeof(release), doctor->proc, "sys/kernel/osrelease") ||
	    sscanf(release, "%u.%u", &major, &minor) != 2)
		return 0;
	return kernel_version(major, minor);
}

static void kernel_check_version(const struct doctor *doctor)
{
	unsigned int version = kernel_running(doctor);

	if (!version)
		findings_add(doctor->findings, FINDING_SKIPPED, "kernel", NULL, NULL,
			     "%s/sys/kernel/osrelease cannot be read", doctor->proc);
	else if (version < kernel_version(4, 14))
		findings_add(doctor->findings, FINDING_FAILURE, "kernel",
			     "MSG_ZEROCOPY for TCP came with Linux 4.14: all data is copied",
			     "use Linux 5.10 or later", "Linux %u.%u", version >> 16,
			     version & 0xffff);
	else if (version < kernel_version(5, 10))
		findings_add(doctor->findings, FINDING_WARNING, "kernel",
			     "dmacast is tested on Linux 5.10 and later", "use Linux 5.10 or later",
			     "Linux %u.%u", version >> 16, version & 0xffff);
	else
		findings_add(doctor->findings, FINDING_OK, "kernel", NULL, NULL, "Linux %u.%u",
			     version >> 16, version & 0xffff);
}

/* With MTU probing, kernels from about 6.5 on may report a send as complete before its data was sent. */
static void kernel_check_mtu_probing(const struct doctor *doctor)
{
	int64_t probing = kernel_file_integer(doctor->proc, "sys/net/ipv4/tcp_mtu_probing");
	bool is_known = kernel_running(doctor) >= kernel_version(6, 5);

	if (probing < 0)
		findings_add(doctor->findings, FINDING_SKIPPED, "tcp_mtu_probing", NULL, NULL,
			     "net.ipv4.tcp_mtu_probing cannot be read here");
	else if (probing)
		findings_add(
			doctor->findings, is_known ? FINDING_FAILURE : FINDING_WARNING,
			"tcp_mtu_probing",
			"kernels from about 6.5 on may report data as sent before it was sent, "
			"and clients may get wrong data",
			"sysctl -w net.ipv4.tcp_mtu_probing=0",
			"net.ipv4.tcp_mtu_probing = %" PRId64, probing);
	else
		findings_add(doctor->findings, FINDING_OK, "tcp_mtu_probing", NULL, NULL,
			     "net.ipv4.tcp_mtu_probing = 0");
}

static void kernel_check_option_memory(const struct doctor *doctor)
{
	int64_t optmem = kernel_file_integer(doctor->proc, "sys/net/core/optmem_max");
	char mend[FINDING_MEND];

	snprintf(mend, sizeof(mend), "sysctl -w net.core.optmem_max=%u", OPTMEM_WANTED);
	if (optmem < 0)
		findings_add(doctor->findings, FINDING_SKIPPED, "optmem_max", NULL, NULL,
			     "net.core.optmem_max cannot be read here; before Linux 6.9 only the "
			     "first network namespace has it");
	else
		findings_add(doctor->findings,
			     optmem < OPTMEM_WANTED ? FINDING_WARNING : FINDING_OK, "optmem_max",
			     "beyond that, data is copied; many small blocks and a long round trip "
			     "need more",
			     mend,
			     "net.core.optmem_max = %" PRId64 ": enough for %" PRId64
			     " incomplete zero-copy sends of a client",
			     optmem, optmem / OPTMEM_PER_SEND);
}

static void kernel_check_congestion(const struct doctor *doctor)
{
	bool is_bbr;
	char name[64];

	if (!kernel_file_line(name, sizeof(name), doctor->proc,
			      "sys/net/ipv4/tcp_congestion_control")) {
		findings_add(doctor->findings, FINDING_SKIPPED, "congestion", NULL, NULL,
			     "net.ipv4.tcp_congestion_control cannot be read here");
		return;
	}
	is_bbr = !strncmp(name, "bbr", 3);
	findings_add(
		doctor->findings, is_bbr ? FINDING_NOTE : FINDING_OK, "congestion",
		"with bbr zero-copy saved nothing in one measurement, and as much as with cubic in "
		"another; compare the CPU time of both",
		"sysctl -w net.ipv4.tcp_congestion_control=cubic, or congestion = cubic",
		"net.ipv4.tcp_congestion_control = %s", name);
}

static void kernel_check_send_buffer(const struct doctor *doctor)
{
	uint64_t least, first, most;
	char line[128], about[UNITS_TEXT];
	bool is_low;

	if (!kernel_file_line(line, sizeof(line), doctor->proc, "sys/net/ipv4/tcp_wmem") ||
	    sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64, &least, &first, &most) != 3) {
		findings_add(doctor->findings, FINDING_SKIPPED, "tcp_wmem", NULL, NULL,
			     "net.ipv4.tcp_wmem cannot be read here");
		return;
	}
	is_low = most < WANTED_SEND_BUFFER;
	findings_add(doctor->findings, is_low ? FINDING_WARNING : FINDING_OK, "tcp_wmem",
		     "a socket cannot hold what is in flight on a fast or long link, so its client "
		     "is slower than the link",
		     "sysctl -w net.ipv4.tcp_wmem='4096 16384 4194304'",
		     "net.ipv4.tcp_wmem: up to %s for a socket", units_format_about(most, about));
}

/* Return: pages that all sockets of TCP use, from /proc/net/sockstat; UINT64_MAX: unknown. */
static uint64_t kernel_tcp_pages(const struct doctor *doctor)
{
	const char *memory = NULL;
	char line[256];

	if (kernel_file_value(line, sizeof(line), "TCP:", doctor->proc, "net/sockstat"))
		memory = strstr(line, " mem ");
	return memory ? strtoull(memory + strlen(" mem "), NULL, 10) : UINT64_MAX;
}

static void kernel_check_tcp_memory(const struct doctor *doctor)
{
	uint64_t low, pressure, high, used = kernel_tcp_pages(doctor);
	char line[128];
	bool is_short;

	if (!kernel_file_line(line, sizeof(line), doctor->proc, "sys/net/ipv4/tcp_mem") ||
	    sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64, &low, &pressure, &high) != 3 ||
	    used == UINT64_MAX) {
		findings_add(doctor->findings, FINDING_SKIPPED, "tcp_mem", NULL, NULL,
			     "net.ipv4.tcp_mem or the sockets' memory cannot be read here");
		return;
	}
	is_short = used >= pressure;
	findings_add(doctor->findings, is_short ? FINDING_WARNING : FINDING_OK, "tcp_mem",
		     "the kernel shrinks the buffers of all sockets, and clients get slow in turns",
		     "lower socket-memory in dmacastd.conf, or raise net.ipv4.tcp_mem",
		     "sockets of TCP use %" PRIu64 " pages; the kernel saves memory from %" PRIu64
		     " on",
		     used, pressure);
}

/* ---- huge pages ---- */

/* Return: the chosen word in a line like "always [madvise] never"; @line is changed. */
static const char *kernel_chosen_word(char *line)
{
	char *begin = strchr(line, '['), *end = begin ? strchr(begin, ']') : NULL;

	if (!end)
		return "";
	*end = '\0';
	return begin + 1;
}

/* Return: the number behind a name like "HugePages_Free:" in /proc/meminfo; 0 without it. */
static uint64_t kernel_meminfo(const struct doctor *doctor, const char *name)
{
	char number[64];

	return kernel_file_value(number, sizeof(number), name, doctor->proc, "meminfo")
		       ? strtoull(number, NULL, 10)
		       : 0;
}

static const char no_huge_pages[] =
	"zero-copy from pages of 4 KiB takes 1.3 to 1.65 times the CPU time that it takes from "
	"huge pages";
static const char not_handed_over[] =
	"this kernel makes no transparent huge pages of shared memory, so the ring is in anonymous "
	"memory, which a successor cannot take over: a restart disconnects the clients";
static const char share_huge_pages[] =
	"sysctl -w vm.nr_hugepages=N, or echo advise "
	">/sys/kernel/mm/transparent_hugepage/shmem_enabled; then restart the daemon";
static const char reserve_huge_pages[] = "sysctl -w vm.nr_hugepages=N, and restart dmacastd";

/* Return true if @memory, the daemon's description, has pages of the smallest size and no larger ones. */
static bool kernel_is_small(const char *memory)
{
	char page[UNITS_TEXT], text[sizeof("memfd,  pages") + UNITS_TEXT];

	snprintf(text, sizeof(text), "memfd, %s pages",
		 units_format_about((uint64_t)sysconf(_SC_PAGESIZE), page));
	return !strcmp(memory, text);
}

/* Look at the memory of a stream's ring, which the daemon describes in words. */
static void kernel_check_ring(const struct doctor *doctor, const json_t *stream)
{
	const char *name = json_string_value(json_object_get(stream, "name"));
	const char *memory = json_string_value(json_object_get(stream, "memory"));

	if (!name || !memory || !*memory)
		return;
	if (!strncmp(memory, "anonymous", strlen("anonymous")))
		findings_add(doctor->findings, FINDING_NOTE, "ring", not_handed_over,
			     share_huge_pages, "stream %s: %s", name, memory);
	else if (kernel_is_small(memory))
		findings_add(doctor->findings, FINDING_WARNING, "ring", no_huge_pages,
			     reserve_huge_pages, "stream %s: %s", name, memory);
	else
		findings_add(doctor->findings, FINDING_OK, "ring", NULL, NULL, "stream %s: %s",
			     name, memory);
}

/* Return true if the kernel makes huge pages of shared memory: since Linux 6.1 on demand, unless that is forbidden. */
static bool kernel_shares_huge_pages(const struct doctor *doctor, const char *shmem_enabled)
{
	if (!*shmem_enabled || !strcmp(shmem_enabled, "deny"))
		return false;
	return strcmp(shmem_enabled, "never") != 0 ||
	       kernel_running(doctor) >= kernel_version(6, 1);
}

/* Foretell the memory of rings of a daemon that does not run yet. */
static void kernel_check_huge_pages(const struct doctor *doctor)
{
	uint64_t reserved = kernel_meminfo(doctor, "HugePages_Free:");
	char shared_line[128], line[128];
	const char *shared, *enabled;

	kernel_file_line(line, sizeof(line), doctor->sys, "kernel/mm/transparent_hugepage/enabled");
	kernel_file_line(shared_line, sizeof(shared_line), doctor->sys,
			 "kernel/mm/transparent_hugepage/shmem_enabled");
	enabled = kernel_chosen_word(line);
	shared = kernel_chosen_word(shared_line);
	if (reserved)
		findings_add(doctor->findings, FINDING_OK, "huge-pages", NULL, NULL,
			     "%" PRIu64 " reserved huge pages are free", reserved);
	else if (!*enabled || !strcmp(enabled, "never"))
		findings_add(doctor->findings, FINDING_WARNING, "huge-pages", no_huge_pages,
			     "sysctl -w vm.nr_hugepages=N, or echo madvise "
			     ">/sys/kernel/mm/transparent_hugepage/enabled",
			     "no reserved huge page is free, and there are no transparent ones");
	else if (kernel_shares_huge_pages(doctor, shared))
		findings_add(doctor->findings, FINDING_OK, "huge-pages", NULL, NULL,
			     "no reserved huge page is free; transparent ones: %s, of shared "
			     "memory: %s",
			     enabled, shared);
	else
		findings_add(doctor->findings, FINDING_NOTE, "huge-pages", not_handed_over,
			     share_huge_pages,
			     "no reserved huge page is free; transparent ones: %s, of shared "
			     "memory: %s",
			     enabled, *shared ? shared : "unknown");
}

void doctor_check_kernel(const struct doctor *doctor)
{
	const json_t *stream;
	size_t i;

	kernel_check_version(doctor);
	kernel_check_mtu_probing(doctor);
	kernel_check_option_memory(doctor);
	kernel_check_congestion(doctor);
	kernel_check_send_buffer(doctor);
	kernel_check_tcp_memory(doctor);
	if (!doctor->pid)
		kernel_check_huge_pages(doctor);
	json_array_foreach(doctor->streams, i, stream) kernel_check_ring(doctor, stream);
}
