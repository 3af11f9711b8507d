/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * connect - makes the clients' connections to the server, a limited number at a time.
 */
#ifndef FEEDCLIENT_CONNECT_H
#define FEEDCLIENT_CONNECT_H

struct client;

/** connect_resolve() - look up HOST:PORT or [ADDRESS]:PORT, which is changed, and --source; exit with
 * 2 if one is unknown.
 */
void connect_resolve(char *server);

/** connect_start() - let waiting clients connect whose time has come. */
void connect_start(void);

/** connect_finish() - react to an event on the socket of a client that connects. */
void connect_finish(struct client *client);

/** connect_expire() - end or repeat attempts that took longer than --connect-timeout. */
void connect_expire(void);

#endif
