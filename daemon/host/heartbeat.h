/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the service manager hears while the daemon runs: that the event loop turns, and how the streams
 * are. Without a service manager there is no timer, and an idle daemon stays idle.
 */
#ifndef DMACAST_HEARTBEAT_H
#define DMACAST_HEARTBEAT_H

struct event_base;
struct heartbeat;
struct streams;

/** heartbeat_start() - say READY=1, and begin. Return: NULL without memory. */
struct heartbeat *heartbeat_start(struct event_base *base, struct streams *streams);

/** heartbeat_ready() - what service_tell_reloading() told of is done, well or not. */
void heartbeat_ready(struct heartbeat *heartbeat);

/** heartbeat_stopping() - clients get the rest. It goes on to say that this is not over yet. */
void heartbeat_stopping(struct heartbeat *heartbeat);

/** heartbeat_free() - no more. */
void heartbeat_free(struct heartbeat *heartbeat);

#endif
