// SPDX-License-Identifier: BSD-2-Clause
#include "lib/service.h"

#include "lib/clock.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef DMACAST_WITHOUT_SYSTEMD
#include "lib/service_none.h"
#else
#include <systemd/sd-daemon.h>
#endif

#define NOTIFY_VARIABLE "NOTIFY_SOCKET"

/* FileDescriptorName= of what is kept for the next process. No socket unit may have it. */
#define STORED_NAME "dmacast-handover"

/* Time for the service manager to read all messages, in microseconds; the event loop waits for it. */
#define BARRIER_US 5000000U

/* One for the process, as the environment that it comes from. */
static struct {
	char *notify_socket;
	uint64_t watchdog_us;
	char **name; /* one for each passed socket */
	unsigned int sockets;
	int *stored; /* descriptors that were kept */
	unsigned int stored_count;
} service;

/* Exclude MPTCP and others, which are streams over IP, too, but do not send without copying. */
static bool is_tcp(int fd)
{
	int protocol = 0;
	socklen_t length = sizeof(protocol);

	return sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) > 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
	       protocol == IPPROTO_TCP;
}

/* Remove descriptor @index from the sockets, and move the later ones, so that they are in a row. */
static void service_remove_socket(unsigned int index)
{
	unsigned int last = --service.sockets;

	free(service.name[index]);
	for (unsigned int i = index; i < last; i++) {
		service.name[i] = service.name[i + 1];
		dup3(SD_LISTEN_FDS_START + (int)i + 1, SD_LISTEN_FDS_START + (int)i, O_CLOEXEC);
	}
	service.name[last] = NULL;
	close(SD_LISTEN_FDS_START + (int)last);
}

/* Take what was kept from among the sockets. Return: false without memory or descriptors. */
static bool service_find_stored(void)
{
	service.stored = calloc(service.sockets + 1, sizeof(*service.stored));
	if (!service.stored)
		return false;
	for (unsigned int i = 0; i < service.sockets;) {
		int fd = SD_LISTEN_FDS_START + (int)i;

		if (strcmp(service.name[i], STORED_NAME)) {
			i++;
			continue;
		}
		fd = fcntl(fd, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START + (int)service.sockets);
		if (fd < 0)
			return false;
		service.stored[service.stored_count++] = fd;
		service_remove_socket(i);
	}
	return true;
}

static bool take_sockets(void)
{
	int count = sd_listen_fds_with_names(1, &service.name);
	bool right = true;

	if (count < 0) {
		log_error("cannot take the sockets of the service manager: %s", strerror(-count));
		return false;
	}
	service.sockets = (unsigned int)count;
	if (!service_find_stored()) {
		log_error("cannot take what the service manager keeps: %s", strerror(errno));
		return false;
	}
	for (int i = 0; i < (int)service.sockets; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		if (is_tcp(fd))
			continue;
		log_error(
			"socket systemd:%s: not a listening TCP socket; expected ListenStream=PORT "
			"or ADDRESS:PORT, and Accept=no, in the socket unit",
			service.name[i]);
		right = false;
	}
	return right;
}

bool service_init(void)
{
	const char *notify_socket = getenv(NOTIFY_VARIABLE);

	if (notify_socket)
		service.notify_socket = strdup(notify_socket);
	unsetenv(NOTIFY_VARIABLE);
	if (sd_watchdog_enabled(1, &service.watchdog_us) <= 0)
		service.watchdog_us = 0;
	return take_sockets();
}

bool service_is_there(void)
{
	return service.notify_socket;
}

uint64_t service_watchdog_us(void)
{
	return service.watchdog_us;
}

void service_tell(const char *format, ...)
{
	char text[512];
	va_list args;
	int error;

	if (!service.notify_socket)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	setenv(NOTIFY_VARIABLE, service.notify_socket, 1);
	do
		error = sd_notify(0, text);
	while (error == -EINTR);
	unsetenv(NOTIFY_VARIABLE);
	if (error < 0)
		log_debug("cannot notify the service manager: %s", strerror(-error));
}

static int service_store_once(int fd)
{
	int error =
		sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=" STORED_NAME "\nFDPOLL=0", &fd, 1);

	return error > 0 ? sd_notify_barrier(0, BARRIER_US) : error;
}

const char *service_store(int fd)
{
	int error;

	if (!service.notify_socket)
		return "there is no service manager";
	setenv(NOTIFY_VARIABLE, service.notify_socket, 1);
	/* Stored twice is not worse than not at all: the service manager keeps one of the same file. */
	do
		error = service_store_once(fd);
	while (error == -EINTR);
	unsetenv(NOTIFY_VARIABLE);
	return error < 0 ? strerror(-error) : NULL;
}

void service_forget_stored(void)
{
	service_tell("FDSTOREREMOVE=1\nFDNAME=" STORED_NAME);
}

int service_take_stored(void)
{
	return service.stored_count ? service.stored[--service.stored_count] : -1;
}

static void service_set_number(const char *name, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	setenv(name, text, 1);
}

/* Return the names in a row, with a colon between two, which the caller frees; NULL without memory. */
static char *service_join_names(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	for (unsigned int i = 0; i < service.sockets; i++)
		fprintf(file, "%s%s", i ? ":" : "", service.name[i]);
	fclose(file);
	return text;
}

static void service_export_sockets(void)
{
	char *names = service_join_names();

	service_set_number("LISTEN_PID", (uint64_t)getpid());
	service_set_number("LISTEN_FDS", service.sockets);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
	free(names);
}

void service_export(bool yes)
{
	static const char *const variable[] = {
		NOTIFY_VARIABLE, "WATCHDOG_USEC", "WATCHDOG_PID",
		"LISTEN_PID",	 "LISTEN_FDS",	  "LISTEN_FDNAMES"
	};

	for (size_t i = 0; i < sizeof(variable) / sizeof(variable[0]); i++)
		unsetenv(variable[i]);
	for (unsigned int i = 0; i < service.sockets; i++)
		fcntl(SD_LISTEN_FDS_START + (int)i, F_SETFD, yes ? 0 : FD_CLOEXEC);
	if (!yes)
		return;
	if (service.notify_socket)
		setenv(NOTIFY_VARIABLE, service.notify_socket, 1);
	if (service.watchdog_us) {
		service_set_number("WATCHDOG_USEC", service.watchdog_us);
		service_set_number("WATCHDOG_PID", (uint64_t)getpid());
	}
	if (service.sockets)
		service_export_sockets();
}

void service_tell_reloading(void)
{
	service_tell("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_monotonic_ns() / 1000);
}

int service_socket(const char *name, unsigned int number)
{
	for (unsigned int i = 0; i < service.sockets; i++) {
		if (!strcmp(service.name[i], name) && !number--)
			return SD_LISTEN_FDS_START + (int)i;
	}
	return -1;
}

void service_sockets_each(void (*each)(void *argument, const char *name), void *argument)
{
	for (unsigned int i = 0; i < service.sockets; i++) {
		unsigned int same = 0;

		for (unsigned int j = 0; j < i; j++)
			same += !strcmp(service.name[j], service.name[i]);
		if (!same)
			each(argument, service.name[i]);
	}
}
