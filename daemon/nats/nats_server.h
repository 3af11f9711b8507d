/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection to the NATS servers. The library has threads of its own, which read from the socket and connect
 * again. What they notice is kept here and wakes up the thread of the program by a descriptor, so that everything
 * else is done by this one thread.
 */
#ifndef DMACAST_NATS_SERVER_H
#define DMACAST_NATS_SERVER_H

#include "nats/nats_options.h"

#include <nats/nats.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NATS_SERVER_ERROR 512

struct nats_server;

enum nats_server_result {
	NATS_SERVER_OK,
	NATS_SERVER_RETRY, /* no server can be reached */
	NATS_SERVER_FATAL, /* another attempt cannot succeed: options or permission */
};

/**
 * nats_server_connect() - connect, for as long as the library tries.
 * @server: out; NULL on failure
 * @error: out: on failure, the reason
 */
enum nats_server_result nats_server_connect(const struct nats_server_options *options,
					    struct nats_server **server,
					    char error[NATS_SERVER_ERROR]);

/** nats_server_connection() - return the connection of the library. */
natsConnection *nats_server_connection(struct nats_server *server);

/** nats_server_jetstream() - return the JetStream context of the library. Its calls wait for 3 s at most. */
jsCtx *nats_server_jetstream(struct nats_server *server);

/** nats_server_fd() - return the descriptor that is readable after nats_server_wake(). */
int nats_server_fd(const struct nats_server *server);

/** nats_server_wake() - make the descriptor readable; from any thread. */
void nats_server_wake(struct nats_server *server);

/** nats_server_clear() - make the descriptor wait for the next nats_server_wake(). */
void nats_server_clear(struct nats_server *server);

/** nats_server_generation() - return a number that grows with each connection that is lost or made. */
uint64_t nats_server_generation(const struct nats_server *server);

/** nats_server_is_connected() - return true while there is a connection. */
bool nats_server_is_connected(const struct nats_server *server);

/** nats_server_is_closed() - return true if the library has given up, as when a permission was taken away. */
bool nats_server_is_closed(const struct nats_server *server);

/** nats_server_payload() - return the largest payload of one of our messages, in bytes; 0: none fits. */
size_t nats_server_payload(struct nats_server *server);

/** nats_server_url() - write the URL of the connected server. Return: @url. */
const char *nats_server_url(struct nats_server *server, char url[NATS_SERVER_ERROR]);

/** nats_server_reason() - write the reason of a failed call. @code: of JetStream; 0: none. Return: @error. */
const char *nats_server_reason(natsStatus status, jsErrCode code, char error[NATS_SERVER_ERROR]);

/**
 * nats_server_disconnect() - send what waits to be sent, and close the connection; NULL is allowed.
 *
 * Destroy subscriptions only then: a thread of libnats may use one that is being destroyed while the connection reads.
 */
void nats_server_disconnect(struct nats_server *server);

/** nats_server_close() - close and free; NULL is allowed. */
void nats_server_close(struct nats_server *server);

#endif
