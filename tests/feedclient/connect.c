// SPDX-License-Identifier: BSD-2-Clause
#include "connect.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "options.h"

/* Number of clients that connect at a time: more would only overflow the server's listen queue. */
#define MAX_CONNECTING 128

#define RETRY_NS UINT64_C(20000000)

static struct sockaddr_storage server_address, source_address;
static socklen_t server_length, source_length;

static void resolve_name(const char *host, const char *port, int family,
			 struct sockaddr_storage *address, socklen_t *length)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	int error = getaddrinfo(host, port, &hints, &found);

	if (error)
		options_error("%s: %s", host, gai_strerror(error));
	memcpy(address, found->ai_addr, found->ai_addrlen);
	*length = found->ai_addrlen;
	freeaddrinfo(found);
}

void connect_resolve(char *server)
{
	char *colon = strrchr(server, ':');
	char *host = server;

	if (!colon || !colon[1])
		options_error("not HOST:PORT: %s", server);
	*colon = '\0';
	if (host[0] == '[' && colon > host && colon[-1] == ']') {
		colon[-1] = '\0';
		host++;
	}
	resolve_name(host, colon + 1, AF_UNSPEC, &server_address, &server_length);
	if (opt.source)
		resolve_name(opt.source, NULL, server_address.ss_family, &source_address,
			     &source_length);
}

static void announce(int fd)
{
	static const char text[] = "ready\n";

	if (write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
		tally_fail("cannot write that all are connected: %s", strerror(errno));
	if (fd > STDERR_FILENO)
		close(fd);
}

static void all_connected(void)
{
	run.started_at = run.now;
	run.started_bytes = tally.bytes;
	if (isfinite(opt.seconds))
		run.deadline = run.now + (uint64_t)(opt.seconds * NS_PER_S);
	if (opt.ready_fd != UNSET)
		announce((int)opt.ready_fd);
	if (opt.ready) {
		int fd = open(opt.ready, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

		if (fd < 0)
			tally_fail("%s: %s", opt.ready, strerror(errno));
		else
			announce(fd);
	}
}

static void connect_succeed(struct client *client, bool reset_seen)
{
	client_begin(client, reset_seen);
	tally.joins++;
	if (client->joins++ == 0 && ++tally.connected == opt.clients)
		all_connected();
	client_run(client);
}

static bool worth_a_retry(int error)
{
	/* EADDRNOTAVAIL: no local port is free at the moment, as --churn uses them up quickly. */
	return error == ECONNREFUSED || error == EADDRNOTAVAIL;
}

static void connect_fail(struct client *client, const char *what, int error)
{
	client_close_socket(client);
	if (worth_a_retry(error) && run.now < client->give_up_at) {
		client->connect_error = error;
		client_connect_later(client, run.now + RETRY_NS);
		return;
	}
	client_move(client, NULL);
	if (client->joins && error == ECONNREFUSED && client_end_expected(ENDING_EOF)) {
		/* The server ended while this client was away, which is expected as for the others. */
		client_retire(client, ENDING_LEFT);
		return;
	}
	tally_fail("client %u: %s: %s", client->number, what, strerror(error));
	tally.endings[ENDING_FAILED]++;
	client_retire(client, ENDING_FAILED);
	run.connect_failed = true;
}

/* Return the name of the call that failed, with errno, or NULL. */
static const char *open_client_socket(struct client *client)
{
	static const int one = 1;
	int rcvbuf = (int)opt.rcvbuf;

	client->fd =
		socket(server_address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return "socket";
	if (opt.rcvbuf &&
	    setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)) < 0)
		return "SO_RCVBUF";
	if (!source_length)
		return NULL;
	/* Best effort: leave the choice of the port to connect(), which has more of them. */
	setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(client->fd, (const struct sockaddr *)&source_address, source_length) < 0)
		return "bind";
	return NULL;
}

static void start_connecting(struct client *client)
{
	const char *failed_call;

	client->state = STATE_CONNECTING;
	client_move(client, &run.connecting);
	if (!client->give_up_at)
		client->give_up_at = run.now + opt.connect_timeout * 1000;
	failed_call = open_client_socket(client);
	if (failed_call)
		connect_fail(client, failed_call, errno);
	else if (connect(client->fd, (const struct sockaddr *)&server_address, server_length) == 0)
		connect_succeed(client, false);
	else if (errno == EINPROGRESS || errno == EINTR)
		client_watch(client, EPOLLOUT);
	else
		connect_fail(client, "connect", errno);
}

void connect_finish(struct client *client)
{
	int error = client_socket_error(client);

	/* Neither error is from connecting: it is connected, and the server has closed already. */
	if (error && error != ECONNRESET && error != EPIPE)
		connect_fail(client, "connect", error);
	else
		connect_succeed(client, error == ECONNRESET);
}

void connect_start(void)
{
	struct client *client;

	while (run.connecting_count < MAX_CONNECTING && !run.connect_failed) {
		client = TAILQ_FIRST(&run.waiting);
		if (!client || client->not_before > run.now)
			break;
		start_connecting(client);
	}
}

void connect_expire(void)
{
	struct client *client, *next;

	for (client = TAILQ_FIRST(&run.connecting); client; client = next) {
		int error = client->connect_error ? client->connect_error : ETIMEDOUT;

		next = TAILQ_NEXT(client, link);
		if (client->give_up_at <= run.now)
			connect_fail(client, "connect", error);
	}
}
