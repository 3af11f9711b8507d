// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_server.h"

#include "nats/nats_message.h"
#include "nats/nats_secrets.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_SERVERS 16

#define CONNECT_MS 5000
#define FLUSH_MS 1000
#define REQUEST_MS 3000
#define RECONNECT_MS 250
/* A server that hangs is given up after three of these. */
#define PING_MS 5000
#define MAX_PINGS 2
/* Nothing is kept by the library while there is no connection: its smallest buffer. */
#define RECONNECT_BYTES 1

struct nats_server {
	natsOptions *options;
	natsConnection *connection;
	jsCtx *jetstream;
	int fd;
	atomic_uint_fast64_t generation;
	atomic_bool connected, closed;
};

natsConnection *nats_server_connection(struct nats_server *server)
{
	return server->connection;
}

jsCtx *nats_server_jetstream(struct nats_server *server)
{
	return server->jetstream;
}

int nats_server_fd(const struct nats_server *server)
{
	return server->fd;
}

void nats_server_wake(struct nats_server *server)
{
	eventfd_write(server->fd, 1);
}

void nats_server_clear(struct nats_server *server)
{
	eventfd_t count;

	eventfd_read(server->fd, &count);
}

uint64_t nats_server_generation(const struct nats_server *server)
{
	return server->generation;
}

bool nats_server_is_connected(const struct nats_server *server)
{
	return server->connected;
}

bool nats_server_is_closed(const struct nats_server *server)
{
	return server->closed;
}

/* ---- callbacks, on threads of the library ---- */

static void nats_server_note(struct nats_server *server, bool connected)
{
	server->connected = connected;
	server->generation++;
	nats_server_wake(server);
}

static void nats_server_lost(natsConnection *connection, void *data)
{
	(void)connection;
	nats_server_note(data, false);
}

static void nats_server_back(natsConnection *connection, void *data)
{
	(void)connection;
	nats_server_note(data, true);
}

static void nats_server_given_up(natsConnection *connection, void *data)
{
	struct nats_server *server = data;

	(void)connection;
	server->closed = true;
	nats_server_note(server, false);
}

/* Errors of a subscription, such as a slow consumer, show at the subscription. */
static void nats_server_failed(natsConnection *connection, natsSubscription *subscription,
			       natsStatus status, void *data)
{
	(void)connection;
	(void)subscription;
	(void)status;
	nats_server_wake(data);
}

/* ---- options ---- */

static natsStatus nats_server_set_urls(natsOptions *options, const char *urls)
{
	const char *list[MAX_SERVERS];
	char *copy = strdup(urls), *rest = copy;
	int count = 0;
	natsStatus status = NATS_NO_MEMORY;

	while (copy && count < MAX_SERVERS && (list[count] = strsep(&rest, ",")))
		count++;
	if (copy)
		status = natsOptions_SetServers(options, list, count);
	free(copy);
	return status;
}

static natsStatus nats_server_set_tls(natsOptions *options,
				      const struct nats_server_options *wanted)
{
	natsStatus status = NATS_OK;

	if (wanted->tls || wanted->tls_ca || wanted->tls_cert)
		status = natsOptions_SetSecure(options, true);
	if (status == NATS_OK && wanted->tls_ca)
		status = natsOptions_LoadCATrustedCertificates(options, wanted->tls_ca);
	if (status == NATS_OK && wanted->tls_cert)
		status = natsOptions_LoadCertificatesChain(options, wanted->tls_cert,
							   wanted->tls_key);
	return status;
}

static natsStatus nats_server_set_user(natsOptions *options,
				       const struct nats_server_options *wanted)
{
	if (wanted->credentials)
		return natsOptions_SetUserCredentialsFromFiles(options, wanted->credentials, NULL);
	if (wanted->nkey)
		return natsOptions_SetNKeyFromSeed(options, wanted->nkey, wanted->nkey_seed);
	return NATS_OK;
}

static natsStatus nats_server_set_times(natsOptions *options)
{
	natsStatus status = natsOptions_SetTimeout(options, CONNECT_MS);

	if (status == NATS_OK)
		status = natsOptions_SetMaxReconnect(options, INT_MAX);
	if (status == NATS_OK)
		status = natsOptions_SetReconnectWait(options, RECONNECT_MS);
	if (status == NATS_OK)
		status = natsOptions_SetPingInterval(options, PING_MS);
	if (status == NATS_OK)
		status = natsOptions_SetMaxPingsOut(options, MAX_PINGS);
	if (status == NATS_OK)
		status = natsOptions_SetReconnectBufSize(options, RECONNECT_BYTES);
	return status;
}

static natsStatus nats_server_set_callbacks(struct nats_server *server)
{
	natsOptions *options = server->options;
	natsStatus status = natsOptions_SetDisconnectedCB(options, nats_server_lost, server);

	if (status == NATS_OK)
		status = natsOptions_SetReconnectedCB(options, nats_server_back, server);
	if (status == NATS_OK)
		status = natsOptions_SetClosedCB(options, nats_server_given_up, server);
	if (status == NATS_OK)
		status = natsOptions_SetErrorHandler(options, nats_server_failed, server);
	return status;
}

static natsStatus nats_server_configure(struct nats_server *server,
					const struct nats_server_options *wanted)
{
	natsStatus status = natsOptions_Create(&server->options);

	if (status == NATS_OK)
		status = nats_server_set_urls(server->options, wanted->urls);
	if (status == NATS_OK)
		status = natsOptions_SetName(server->options, "dmacast-nats");
	if (status == NATS_OK)
		status = nats_server_set_tls(server->options, wanted);
	if (status == NATS_OK)
		status = nats_server_set_user(server->options, wanted);
	if (status == NATS_OK)
		status = nats_server_set_times(server->options);
	if (status == NATS_OK)
		status = nats_server_set_callbacks(server);
	return status;
}

/* ---- connecting ---- */

/* Return the text without the place in the library: "(FILE:LINE): ". */
static const char *nats_server_skip_place(const char *text)
{
	const char *end = *text == '(' ? strstr(text, "): ") : NULL;

	return end ? end + strlen("): ") : text;
}

const char *nats_server_reason(natsStatus status, jsErrCode code, char error[NATS_SERVER_ERROR])
{
	natsStatus last;
	const char *text = nats_GetLastError(&last);

	/* The text is of the last call of this thread that failed. */
	if (!text || !*text || last != status)
		text = natsStatus_GetText(status);
	text = nats_server_skip_place(text);
	if (code)
		snprintf(error, NATS_SERVER_ERROR, "%s (%d)", text, (int)code);
	else
		snprintf(error, NATS_SERVER_ERROR, "%s", text);
	return error;
}

static natsStatus nats_server_open_jetstream(struct nats_server *server)
{
	jsOptions options;
	natsStatus status = jsOptions_Init(&options);

	options.Wait = REQUEST_MS;
	if (status == NATS_OK)
		status = natsConnection_JetStream(&server->jetstream, server->connection, &options);
	return status;
}

static struct nats_server *nats_server_create(char error[NATS_SERVER_ERROR])
{
	struct nats_server *server = calloc(1, sizeof(*server));

	if (server)
		server->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (server && server->fd >= 0)
		return server;
	snprintf(error, NATS_SERVER_ERROR, "no memory or no descriptor");
	free(server);
	return NULL;
}

static enum nats_server_result nats_server_judge(natsStatus status)
{
	switch (status) {
	case NATS_OK:
		return NATS_SERVER_OK;
	case NATS_CONNECTION_AUTH_FAILED:
	case NATS_NOT_PERMITTED:
	case NATS_SSL_ERROR:
	case NATS_SECURE_CONNECTION_WANTED:
	case NATS_SECURE_CONNECTION_REQUIRED:
		return NATS_SERVER_FATAL;
	default:
		return NATS_SERVER_RETRY;
	}
}

enum nats_server_result nats_server_connect(const struct nats_server_options *options,
					    struct nats_server **server,
					    char error[NATS_SERVER_ERROR])
{
	struct nats_server *made = *server = nats_server_create(error);
	enum nats_server_result result = NATS_SERVER_FATAL;
	natsStatus status;

	if (!made)
		return NATS_SERVER_FATAL;
	if (!nats_secrets_check(options, error, NATS_SERVER_ERROR)) {
		*server = NULL;
		nats_server_close(made);
		return NATS_SERVER_FATAL;
	}
	status = nats_server_configure(made, options);
	if (status == NATS_OK) {
		made->connected = true;
		status = natsConnection_Connect(&made->connection, made->options);
		if (status == NATS_OK)
			status = nats_server_open_jetstream(made);
		result = nats_server_judge(status);
	}
	if (status == NATS_OK) {
		*server = made;
		return NATS_SERVER_OK;
	}
	nats_server_reason(status, 0, error);
	nats_server_close(made);
	*server = NULL;
	return result;
}

size_t nats_server_payload(struct nats_server *server)
{
	int64_t limit = natsConnection_GetMaxPayload(server->connection);

	return limit > NATS_HEADERS_BYTES ? (size_t)limit - NATS_HEADERS_BYTES : 0;
}

const char *nats_server_url(struct nats_server *server, char url[NATS_SERVER_ERROR])
{
	if (natsConnection_GetConnectedUrl(server->connection, url, NATS_SERVER_ERROR) != NATS_OK)
		snprintf(url, NATS_SERVER_ERROR, "not connected");
	return url;
}

void nats_server_disconnect(struct nats_server *server)
{
	if (!server)
		return;
	if (server->connected)
		natsConnection_FlushTimeout(server->connection, FLUSH_MS);
	natsConnection_Close(server->connection);
}

void nats_server_close(struct nats_server *server)
{
	if (!server)
		return;
	jsCtx_Destroy(server->jetstream);
	natsConnection_Destroy(server->connection);
	natsOptions_Destroy(server->options);
	/* Until then, the threads may call back. */
	nats_CloseAndWait(CONNECT_MS);
	close(server->fd);
	free(server);
}
