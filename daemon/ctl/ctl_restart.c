// SPDX-License-Identifier: BSD-2-Clause
/*
 * A job "restart" has this type until the unit has stopped; then it becomes "start". Jobs of `systemctl try-restart` and
 * `reload-or-restart` are "restart", too.
 */
#include "ctl/ctl_restart.h"

#ifdef DMACAST_WITHOUT_SYSTEMD

bool restart_is_under_way(const char **error)
{
	*error = "dmacastctl was built without systemd";
	return false;
}

#else

#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define SERVICE "org.freedesktop.systemd1"

/* Time for each answer in microseconds, and for all, with the connection, in seconds. */
#define CALL_US 3000000U
#define ALL_SECONDS 10

static void restart_is_unknown(int number)
{
	static const char text[] = "dmacastctl: the system bus does not answer; nothing is handed "
				   "over\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)number;
	_exit(n < 0 ? 1 : 0);
}

/* Find the unit. Return: its path on the bus, which the caller frees; NULL after an error. */
static char *restart_find_unit(sd_bus *bus)
{
	sd_bus_message *reply = NULL;
	const char *path = NULL;
	char *copy = NULL;

	/* 0 is the process that asks. */
	if (sd_bus_call_method(bus, SERVICE, "/org/freedesktop/systemd1", SERVICE ".Manager",
			       "GetUnitByPID", NULL, &reply, "u", (uint32_t)0) >= 0 &&
	    sd_bus_message_read(reply, "o", &path) > 0)
		copy = strdup(path);
	sd_bus_message_unref(reply);
	return copy;
}

/* Find the job of the unit. Return: its path on the bus, which the caller frees; NULL: none, or an error. */
static char *restart_find_job(sd_bus *bus, const char *unit)
{
	sd_bus_message *reply = NULL;
	const char *path = NULL;
	uint32_t number = 0;
	char *copy = NULL;

	if (sd_bus_get_property(bus, SERVICE, unit, SERVICE ".Unit", "Job", NULL, &reply, "(uo)") >=
		    0 &&
	    sd_bus_message_read(reply, "(uo)", &number, &path) > 0 && number)
		copy = strdup(path);
	sd_bus_message_unref(reply);
	return copy;
}

static bool restart_ask(sd_bus *bus, const char **error)
{
	char *unit = restart_find_unit(bus), *job = NULL, *type = NULL;
	bool restart;

	*error = unit ? NULL : "systemd does not answer on the system bus";
	if (unit)
		job = restart_find_job(bus, unit);
	if (job)
		sd_bus_get_property_string(bus, SERVICE, job, SERVICE ".Job", "JobType", NULL,
					   &type);
	restart = type && !strcmp(type, "restart");
	free(type);
	free(job);
	free(unit);
	return restart;
}

bool restart_is_under_way(const char **error)
{
	sd_bus *bus = NULL;
	bool restart = false;

	*error = "there is no system bus";
	signal(SIGALRM, restart_is_unknown);
	alarm(ALL_SECONDS);
	if (sd_bus_open_system(&bus) >= 0 && sd_bus_set_method_call_timeout(bus, CALL_US) >= 0)
		restart = restart_ask(bus, error);
	sd_bus_close_unref(bus);
	alarm(0);
	return restart;
}

#endif
