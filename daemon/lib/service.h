/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager: the sockets that systemd passes to this process, and notifications to it.
 * Without a service manager no sockets are passed, and notifications do nothing.
 *
 * Its environment variables are removed from the environment, so that no command that the daemon
 * starts takes them for its own. service_export() puts them back for a program that replaces this one.
 *
 * It keeps a descriptor for the next process of this service: see parcel.h. That one finds it among the sockets.
 */
#ifndef DMACAST_SERVICE_H
#define DMACAST_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * service_init() - take sockets, watchdog and notification from the environment. Once, early.
 *
 * Return: false after an error, which was logged: a passed descriptor is not a listening TCP socket.
 */
bool service_init(void);

/** service_is_there() - return true if a service manager gets the notifications. */
bool service_is_there(void);

/** service_watchdog_us() - return the time within which WATCHDOG=1 is expected; 0: never. */
uint64_t service_watchdog_us(void);

/** service_tell() - send "VARIABLE=VALUE" lines; see sd_notify(3). */
void service_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** service_tell_reloading() - notify that a reload begins; end it with service_tell("READY=1"). */
void service_tell_reloading(void);

/**
 * service_socket() - return the descriptor of a passed socket, which must not be closed.
 * @name: its FileDescriptorName=
 * @number: index among the sockets of this name, from 0
 *
 * Return: -1 if there is none.
 */
int service_socket(const char *name, unsigned int number);

/**
 * service_store() - let the service manager keep @fd for the next process, and wait until it has read that.
 * @fd: stays open here, and may be closed; the service manager may ignore it, see parcel_is_kept()
 *
 * Return: NULL, or why that failed; then it may be kept or not.
 */
const char *service_store(int fd);

/** service_forget_stored() - let the service manager close what it keeps. */
void service_forget_stored(void);

/** service_take_stored() - return a descriptor that was kept, which the caller closes; -1: there are no more. */
int service_take_stored(void);

/**
 * service_export() - put the variables back into the environment, for exec(), and let it inherit the sockets.
 * @yes: false: undo that
 */
void service_export(bool yes);

/** service_sockets_each() - call @each with the name of every socket that was passed. */
void service_sockets_each(void (*each)(void *argument, const char *name), void *argument);

#endif
