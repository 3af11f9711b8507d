/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What lib/service.c uses of sd-daemon.h, for builds without libsystemd (make SYSTEMD=no): there is no service
 * manager, so it passes no sockets, expects no watchdog and gets no notifications.
 */
#ifndef DMACAST_SERVICE_NONE_H
#define DMACAST_SERVICE_NONE_H

#include <stdint.h>
#include <sys/types.h>

#define SD_LISTEN_FDS_START 3

static inline int sd_is_socket_inet(int fd, int family, int type, int listening, uint16_t port)
{
	(void)fd, (void)family, (void)type, (void)listening, (void)port;
	return 0;
}

static inline int sd_listen_fds_with_names(int unset_environment, char ***names)
{
	(void)unset_environment;
	*names = NULL;
	return 0;
}

static inline int sd_watchdog_enabled(int unset_environment, uint64_t *usec)
{
	(void)unset_environment, (void)usec;
	return 0;
}

static inline int sd_notify(int unset_environment, const char *state)
{
	(void)unset_environment, (void)state;
	return 0;
}

static inline int sd_pid_notify_with_fds(pid_t pid, int unset_environment, const char *state,
					 const int *fds, unsigned int count)
{
	(void)pid, (void)unset_environment, (void)state, (void)fds, (void)count;
	return 0;
}

static inline int sd_notify_barrier(int unset_environment, uint64_t timeout)
{
	(void)unset_environment, (void)timeout;
	return 0;
}

#endif
