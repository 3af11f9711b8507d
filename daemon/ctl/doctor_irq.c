// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/doctor_irq.h"

#include "ctl/cpu_list.h"
#include "ctl/kernel_file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longest line of /proc/interrupts that is read: it has a column for each processor. */
#define INTERRUPT_LINE 16384

/* The processors that the daemon may use, and the one where it was last. */
struct irq_daemon {
	cpu_set_t allowed, online;
	int last; /* -1: not known */
};

/* ---- the daemon ---- */

static bool irq_read_allowed(const struct doctor *doctor, cpu_set_t *allowed)
{
	char list[4096];

	return kernel_file_value(list, sizeof(list), "Cpus_allowed_list:", doctor->proc,
				 "%ld/status", (long)doctor->pid) &&
	       cpu_list_parse(list, allowed);
}

/* Return: the processor where the daemon ran last, field 39 of /proc/PID/stat; -1: not known. */
static int irq_last_cpu(const struct doctor *doctor)
{
	char line[1024], *field;

	kernel_file_line(line, sizeof(line), doctor->proc, "%ld/stat", (long)doctor->pid);
	/* Field 2, the name, may have anything. */
	field = strrchr(line, ')');
	for (int i = 2; field && i < 39; i++)
		field = strchr(field + 1, ' ');
	return field ? atoi(field) : -1;
}

static bool irq_read_daemon(const struct doctor *doctor, struct irq_daemon *daemon)
{
	char online[4096];

	daemon->last = irq_last_cpu(doctor);
	return irq_read_allowed(doctor, &daemon->allowed) &&
	       kernel_file_line(online, sizeof(online), doctor->sys, "devices/system/cpu/online") &&
	       cpu_list_parse(online, &daemon->online);
}

/* ---- the interrupts ---- */

/*
 * Return true if the line of /proc/interrupts belongs to the interface: by the list of its device, which for virtio is
 * the one above it, or by the interface's name at the end of the line.
 */
static bool irq_is_of(const struct doctor *doctor, const struct nic *nic, unsigned long irq,
		      const char *line)
{
	static const char *const place[] = { "device", "device/.." };
	const char *name = strstr(line, nic->name);
	char path[KERNEL_FILE_PATH];
	size_t length = strlen(nic->name);

	for (size_t i = 0; i < sizeof(place) / sizeof(place[0]); i++) {
		snprintf(path, sizeof(path), "%s/class/net/%s/%s/msi_irqs/%lu", doctor->sys,
			 nic->name, place[i], irq);
		if (!access(path, F_OK))
			return true;
	}
	return name && name > line && isspace((unsigned char)name[-1]) &&
	       !isalnum((unsigned char)name[length]);
}

/* Return true if there was an interrupt: a number other than 0 in one of the columns. */
static bool irq_has_happened(const char *columns)
{
	char *end;

	for (;; columns = end) {
		unsigned long long count = strtoull(columns, &end, 10);

		if (end == columns || (*end && !isspace((unsigned char)*end)))
			return false;
		if (count)
			return true;
	}
}

/* Add the processors that handle an interrupt. */
static void irq_add_cpus(const struct doctor *doctor, unsigned long irq, cpu_set_t *cpus)
{
	static const char *const name[] = { "effective_affinity_list", "smp_affinity_list" };
	char line[4096];
	cpu_set_t set;

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		if (!kernel_file_line(line, sizeof(line), doctor->proc, "irq/%lu/%s", irq,
				      name[i]) ||
		    !cpu_list_parse(line, &set))
			continue;
		CPU_OR(cpus, cpus, &set);
		return;
	}
}

/* Find the processors that handle the interrupts of an interface; an empty set if it has none. */
static void irq_find_cpus(const struct doctor *doctor, const struct nic *nic, cpu_set_t *cpus)
{
	FILE *file = kernel_file_open(doctor->proc, "interrupts");
	static char line[INTERRUPT_LINE];
	unsigned long irq;
	char *end;

	CPU_ZERO(cpus);
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		irq = strtoul(line, &end, 10);
		if (*end == ':' && irq_is_of(doctor, nic, irq, line) && irq_has_happened(end + 1))
			irq_add_cpus(doctor, irq, cpus);
	}
	if (file)
		fclose(file);
}

/* ---- the findings ---- */

/* Return true if the daemon is bound, and each of its processors also handles interrupts of the interface. */
static bool irq_is_shared(const struct irq_daemon *daemon, const cpu_set_t *cpus)
{
	cpu_set_t both;

	CPU_AND(&both, &daemon->allowed, cpus);
	return CPU_COUNT(&daemon->online) > 1 &&
	       CPU_COUNT(&daemon->allowed) < CPU_COUNT(&daemon->online) &&
	       CPU_EQUAL(&both, &daemon->allowed);
}

static void irq_report(const struct doctor *doctor, const struct nic *nic,
		       const struct irq_daemon *daemon, const cpu_set_t *cpus)
{
	char irqs[CPU_LIST_TEXT], allowed[CPU_LIST_TEXT];
	bool is_shared = irq_is_shared(daemon, cpus);

	findings_add(doctor->findings, is_shared ? FINDING_WARNING : FINDING_OK, "irq",
		     "interrupts take the processor's time from the daemon, while others are idle",
		     "CPUAffinity= with another processor in a drop-in of the unit, or "
		     "/proc/irq/N/smp_affinity_list",
		     "%s: interrupts on CPU %s; dmacastd may use CPU %s, and ran on %d last",
		     nic->name, cpu_list_format(cpus, irqs),
		     cpu_list_format(&daemon->allowed, allowed), daemon->last);
}

void doctor_check_irqs(const struct doctor *doctor)
{
	struct irq_daemon daemon;
	cpu_set_t cpus;

	if (!doctor->pid)
		return;
	if (!irq_read_daemon(doctor, &daemon)) {
		findings_add(doctor->findings, FINDING_SKIPPED, "irq", NULL, NULL,
			     "the processors of the daemon cannot be read");
		return;
	}
	for (size_t i = 0; i < doctor->nics; i++) {
		irq_find_cpus(doctor, &doctor->nic[i], &cpus);
		if (CPU_COUNT(&cpus))
			irq_report(doctor, &doctor->nic[i], &daemon, &cpus);
	}
}
