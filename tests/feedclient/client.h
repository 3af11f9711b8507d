/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client - one client: its state, what it reads and sends, and how its connections end.
 *
 *	WAITING -> CONNECTING -> RUNNING -> ENDED
 *	   ^           |          |   |
 *	   |           |          |   +--> STALLED -> ENDED   (--stall)
 *	   +-----------+----------+                           (retry, --churn)
 */
#ifndef FEEDCLIENT_CLIENT_H
#define FEEDCLIENT_CLIENT_H

#include "answer.h"
#include "check.h"
#include "frames.h"
#include "run.h"
#include "tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum role { ROLE_PLAIN, ROLE_STALL, ROLE_RESET, ROLE_LEAVE };

enum state {
	STATE_WAITING, /* for a free place among those that connect, or for the next attempt */
	STATE_CONNECTING,
	STATE_RUNNING,
	STATE_STALLED, /* connected, but does not read (any more) */
	STATE_ENDED,
};

struct client {
	unsigned int number; /* from 1 */
	int fd;
	enum role role;
	enum state state;
	enum ending ending; /* of the last connection */
	uint64_t joins;
	uint64_t received;	/* on this connection */
	uint64_t received_at;	/* time of the last bytes on it; 0: none */
	uint64_t longest_pause; /* between bytes on it, since the last line of --pauses */
	uint64_t total;		/* on all connections */
	uint64_t sent;
	bool sending;
	bool reset_seen; /* the error is gone from the socket, recv() will see an end */
	uint32_t watched;
	double credit; /* bytes that --rate allows it to read now */
	uint64_t credit_at;
	uint64_t not_before;
	uint64_t give_up_at;
	int connect_error;	  /* of the last attempt that will be repeated */
	struct client_list *list; /* the one list it is in, or NULL */
	TAILQ_ENTRY(client) link;
	struct answer answer; /* of --http */
	struct check check;
	struct frames frames; /* with --framed, instead of `check` */
};

/** client_write_pauses() - write a line for each client that runs: its longest pause in ms, since the last call. */
void client_write_pauses(FILE *file);

/** client_create_all() - create run.clients, --clients of them; exit with 2 without memory. */
void client_create_all(void);

/** client_move() - put it into this list, or with NULL into none. */
void client_move(struct client *client, struct client_list *list);

/** client_watch() - watch its socket for exactly these events of epoll; without any, not at all. */
void client_watch(struct client *client, uint32_t events);

/** client_close_socket() - close its socket if it has one. */
void client_close_socket(struct client *client);

/** client_rank() - return its rank: a run ends with the clients of the lowest rank that it has.
 *
 * Clients that stall or reconnect forever accompany others, unless there are no others.
 */
int client_rank(const struct client *client);

/** client_end_expected() - return true if the server may end a connection like this. */
bool client_end_expected(enum ending ending);

/** client_connect_later() - let it connect at @not_before or later. */
void client_connect_later(struct client *client, uint64_t not_before);

/** client_retire() - end its last connection; it will not connect again. */
void client_retire(struct client *client, enum ending ending);

/** client_end() - end its connection; with --churn it may connect again. */
void client_end(struct client *client, enum ending ending);

/** client_begin() - begin its connection, which is established.
 * @reset_seen: the server has reset it already
 */
void client_begin(struct client *client, bool reset_seen);

/** client_run() - let it read or send as --send, its role and its goal demand, after client_begin(). */
void client_run(struct client *client);

/** client_event() - react to these events of epoll on its established connection. */
void client_event(struct client *client, uint32_t events);

/** client_check_begin() - begin to check the bytes of a connection. */
void client_check_begin(struct client *client);

/** client_check_received() - check @length bytes of check_buffer. Return: false if they are wrong. */
bool client_check_received(struct client *client, size_t length);

/** client_check_finish() - check the end of a connection. Return: false if it is wrong. */
bool client_check_finish(struct client *client, enum ending ending);

/** client_count_received() - count bytes that it received. */
void client_count_received(struct client *client, size_t length);

/** client_resume_reading() - let the paused clients that --rate allows to read again do so. */
void client_resume_reading(void);

/** client_socket_error() - return the error of its socket, and clear it there. */
int client_socket_error(const struct client *client);

#endif
