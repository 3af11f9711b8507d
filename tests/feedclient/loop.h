/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop - the event loop that serves all clients of the network.
 */
#ifndef FEEDCLIENT_LOOP_H
#define FEEDCLIENT_LOOP_H

/** loop_run() - connect all clients, serve them until the run is over, close their connections. */
void loop_run(void);

#endif
