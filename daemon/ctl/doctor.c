// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/doctor.h"

#include "ctl/ctl_answer.h"
#include "ctl/doctor_capture.h"
#include "ctl/doctor_context.h"
#include "ctl/doctor_irq.h"
#include "ctl/doctor_kernel.h"
#include "ctl/doctor_module.h"
#include "ctl/doctor_process.h"
#include "ctl/doctor_streams.h"
#include "ctl/finding.h"
#include "ctl/nic.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A daemon whose number is not known here: no process has it. */
#define HIDDEN_PID (-1)

static void doctor_look(const struct doctor *doctor)
{
	doctor_check_kernel(doctor);
	doctor_check_process(doctor);
	doctor_check_nics(doctor);
	doctor_check_irqs(doctor);
	doctor_check_captures(doctor);
	doctor_check_module(doctor);
	doctor_check_streams(doctor);
}

/* ---- the daemon ---- */

/* Ask the daemon, if one runs. */
static void doctor_ask_daemon(struct ctl *ctl, struct doctor *doctor, struct ctl_answers *answers)
{
	char error[CTL_ERROR_TEXT];

	if (!ctl_ask_all(ctl, answers, error)) {
		findings_add(doctor->findings, FINDING_SKIPPED, "daemon",
			     "what the daemon reports, and its own limits, are left out", NULL,
			     "%s", error);
		return;
	}
	doctor->pid = (pid_t)json_integer_value(json_object_get(answers->status, "pid"));
	doctor->streams = json_object_get(answers->streams, "streams");
	doctor->clients = json_object_get(answers->clients, "clients");
	if (!ctl_peer_is_visible(ctl)) {
		doctor->pid = HIDDEN_PID;
		findings_add(doctor->findings, FINDING_SKIPPED, "daemon",
			     "its limits and processors cannot be looked at from here",
			     "run dmacastctl doctor where the daemon runs",
			     "dmacastd is in another PID namespace, such as a container");
		return;
	}
	findings_add(doctor->findings, FINDING_OK, "daemon", NULL, NULL,
		     "dmacastd runs, process %ld, streams: %zu, clients: %zu", (long)doctor->pid,
		     json_array_size(doctor->streams), json_array_size(doctor->clients));
}

/* A daemon in a network namespace of its own has other interfaces and settings than this process. */
static void doctor_check_namespace(const struct doctor *doctor)
{
	char path[64], own[64] = "", of_daemon[64] = "", mend[FINDING_MEND];

	snprintf(path, sizeof(path), "/proc/%ld/ns/net", (long)doctor->pid);
	if (!doctor->pid || readlink(path, of_daemon, sizeof(of_daemon) - 1) < 0 ||
	    readlink("/proc/self/ns/net", own, sizeof(own) - 1) < 0 || !strcmp(own, of_daemon))
		return;
	snprintf(mend, sizeof(mend), "nsenter -t %ld -n dmacastctl doctor", (long)doctor->pid);
	findings_add(doctor->findings, FINDING_SKIPPED, "daemon",
		     "the interfaces and settings below are those of this process", mend,
		     "dmacastd is in another network namespace");
}

/* ---- the program ---- */

/* Return: false, with a message, if one of the interfaces does not exist. */
static bool doctor_choose_nics(struct doctor *doctor, const struct doctor_options *options)
{
	for (size_t i = 0; i < options->interfaces; i++) {
		if (nic_add(doctor, options->interface[i]))
			continue;
		fprintf(stderr, "dmacastctl: %s: no such interface; see ip link\n",
			options->interface[i]);
		return false;
	}
	if (!options->interfaces)
		nic_add_all(doctor);
	return true;
}

static enum doctor_status doctor_status_of(const struct doctor *doctor,
					   const struct doctor_options *options)
{
	if (options->needs_daemon && !doctor->pid)
		return DOCTOR_BLIND;
	return findings_worst(doctor->findings) >= FINDING_WARNING ? DOCTOR_FINDINGS : DOCTOR_FINE;
}

/* Return: false without memory. */
static bool doctor_print_json(const struct doctor *doctor, enum doctor_status status)
{
	json_t *answer = json_pack("{s:i, s:i, s:o}", "status", (int)status, "pid",
				   (int)doctor->pid, "findings", findings_json(doctor->findings));
	bool printed = answer_print(answer);

	json_decref(answer);
	return printed;
}

static int doctor_print(const struct doctor *doctor, const struct doctor_options *options)
{
	enum doctor_status status = doctor_status_of(doctor, options);
	bool colour = isatty(STDOUT_FILENO);

	if (!options->json)
		findings_print(doctor->findings, options->verbose, colour, stdout);
	else if (!doctor_print_json(doctor, status))
		return DOCTOR_BLIND;
	return (int)status;
}

int doctor_run(struct ctl *ctl, const struct doctor_options *options)
{
	struct doctor doctor = { .proc = "/proc", .sys = "/sys" };
	struct ctl_answers answers;
	int status = DOCTOR_BLIND;

	if (access("/proc/self/limits", R_OK)) {
		fputs("dmacastctl: /proc cannot be read; mount it\n", stderr);
		return status;
	}
	doctor.findings = findings_create();
	doctor_ask_daemon(ctl, &doctor, &answers);
	doctor_check_namespace(&doctor);
	if (doctor_choose_nics(&doctor, options)) {
		doctor_look(&doctor);
		status = doctor_print(&doctor, options);
	}
	ctl_answers_free(&answers);
	findings_free(doctor.findings);
	return status;
}
