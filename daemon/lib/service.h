/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager: what systemd passes to this process, and what it is told. Without one, no
 * sockets are passed, and telling does nothing.
 *
 * Its environment variables are taken out of the environment, so that no command of ours believes
 * that they are for it.
 */
#ifndef DMACAST_SERVICE_H
#define DMACAST_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * service_init() - take sockets, watchdog and notification from the environment. Once, early.
 *
 * Return: false when a passed descriptor is no listening TCP socket; that is logged.
 */
bool service_init(void);

/** service_is_there() - is somebody told? */
bool service_is_there(void);

/** service_watchdog_us() - WATCHDOG=1 is expected more often than this; 0: never. */
uint64_t service_watchdog_us(void);

/** service_tell() - send "VARIABLE=VALUE" lines; see sd_notify(3). */
void service_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** service_tell_reloading() - service_tell("READY=1") follows when it is done. */
void service_tell_reloading(void);

/**
 * service_socket() - the descriptor of a passed socket, which stays this file's.
 * @name: its FileDescriptorName=
 * @number: of those of this name, from 0
 *
 * Return: -1 when there is no such.
 */
int service_socket(const char *name, unsigned int number);

/** service_sockets_each() - call @each with the name of every socket that was passed. */
void service_sockets_each(void (*each)(void *argument, const char *name), void *argument);

#endif
