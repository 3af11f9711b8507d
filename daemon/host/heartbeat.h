/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to the service manager while the daemon runs: the watchdog, served by the event loop, and the
 * status. Without a service manager there is no timer, and an idle daemon stays idle.
 */
#ifndef DMACAST_HEARTBEAT_H
#define DMACAST_HEARTBEAT_H

struct event_base;
struct heartbeat;
struct streams;

/** heartbeat_start() - send READY=1 and start the timers. Return: NULL without memory. */
struct heartbeat *heartbeat_start(struct event_base *base, struct streams *streams);

/** heartbeat_ready() - send READY=1 at the end of a reload, whether it succeeded or not. */
void heartbeat_ready(struct heartbeat *heartbeat);

/** heartbeat_stopping() - send STOPPING=1; from now on each status check asks for more time. */
void heartbeat_stopping(struct heartbeat *heartbeat);

/** heartbeat_free() - stop the timers and free everything. */
void heartbeat_free(struct heartbeat *heartbeat);

#endif
