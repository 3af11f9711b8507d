/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket of a client: its options, and what the kernel knows of it. */
#ifndef DMACAST_CLIENT_SOCKET_H
#define DMACAST_CLIENT_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;

/* Interval between probes of a half-closed peer that is silent. */
#define HALF_CLOSED_PROBE_SECONDS 5

/** client_set_option() - set an option of the socket. @name: for the log, if that fails */
void client_set_option(const struct client *client, int level, int option, int value,
		       const char *name);

/** client_set_socket_options() - set the options of a socket that was accepted. A failure is logged only. */
void client_set_socket_options(const struct client *client);

/**
 * client_set_linger() - choose how the connection ends with its descriptor.
 * @reset_on_close: reset the connection, also if this process ends for any reason
 */
void client_set_linger(const struct client *client, bool reset_on_close);

/**
 * client_probe_half_closed() - find out soon, also without `keepalive`, that the peer's kernel has no such connection
 * any more.
 */
void client_probe_half_closed(const struct client *client);

/** client_apply_grant() - use the present grant. The kernel wakes the event loop if the socket has space by it. */
void client_apply_grant(const struct client *client);

/** client_unacknowledged() - return the bytes that the peer's kernel has not acknowledged. After SHUT_WR the FIN counts. */
uint64_t client_unacknowledged(const struct client *client);

/** client_unread() - return the bytes that the peer has sent and that were not read. */
size_t client_unread(const struct client *client);

/**
 * client_poll() - return what poll() reports for the socket.
 * @what: as libevent has it. It reports a non-empty error queue as EV_READ | EV_WRITE, as if the socket had space.
 *
 * poll() is cheaper than a send that fails, and sending into a little space would waste a packet.
 */
int client_poll(const struct client *client, short what);

#endif
