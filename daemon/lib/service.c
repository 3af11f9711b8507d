// SPDX-License-Identifier: BSD-2-Clause
#include "lib/service.h"

#include "lib/clock.h"
#include "lib/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#define NOTIFY_VARIABLE "NOTIFY_SOCKET"

/* One for the process, as the environment that it comes from. */
static struct {
	char *notify_socket;
	uint64_t watchdog_us;
	char **name; /* one for each passed socket */
	unsigned int sockets;
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

static bool take_sockets(void)
{
	int count = sd_listen_fds_with_names(1, &service.name);
	bool right = true;

	if (count < 0) {
		log_error("cannot take the sockets of the service manager: %s", strerror(-count));
		return false;
	}
	service.sockets = (unsigned int)count;
	for (int i = 0; i < count; i++) {
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
	/* sd_notify() reads the variable, and removes it again. */
	setenv(NOTIFY_VARIABLE, service.notify_socket, 1);
	error = sd_notify(1, text);
	if (error < 0)
		log_debug("cannot notify the service manager: %s", strerror(-error));
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
