// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_connection.h"

#include "lib/keepalive.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct cat_connection {
	struct addrinfo *addresses, *address; /* all, and the one in use */
	int fd;
	bool connected;
	char *request;
	size_t request_bytes, sent;
};

static bool cat_resolve(const struct address *address, struct addrinfo **found,
			char error[CAT_CONNECTION_ERROR])
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	int number = getaddrinfo(address->host, address->port, &hints, found);

	if (number)
		snprintf(error, CAT_CONNECTION_ERROR, "%s: %s", address->host,
			 number == EAI_SYSTEM ? strerror(errno) : gai_strerror(number));
	return !number;
}

/* Begin to connect to the address in use. Return: false with errno. */
static bool cat_begin_connect(struct cat_connection *connection)
{
	const struct addrinfo *address = connection->address;

	connection->fd =
		socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       address->ai_protocol);
	if (connection->fd < 0)
		return false;
	keepalive_set(connection->fd);
	return !connect(connection->fd, address->ai_addr, address->ai_addrlen) ||
	       errno == EINPROGRESS || errno == EINTR;
}

static void cat_explain_connect(const struct cat_connection *connection, int number,
				char error[CAT_CONNECTION_ERROR])
{
	char text[ADDRESS_TEXT];

	snprintf(error, CAT_CONNECTION_ERROR, "%s: %s",
		 address_format(connection->address->ai_addr, text), strerror(number));
}

/* Close a socket whose address has failed, and begin with the next one. Return: false after the last one. */
static bool cat_try_next(struct cat_connection *connection, int number,
			 char error[CAT_CONNECTION_ERROR])
{
	do {
		cat_explain_connect(connection, number, error);
		if (connection->fd >= 0)
			close(connection->fd);
		connection->fd = -1;
		if (!connection->address->ai_next)
			return false;
		connection->address = connection->address->ai_next;
		if (cat_begin_connect(connection))
			return true;
		number = errno;
	} while (true);
}

struct cat_connection *cat_connection_open(const struct address *address, char *request,
					   char error[CAT_CONNECTION_ERROR])
{
	struct cat_connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		snprintf(error, CAT_CONNECTION_ERROR, "no memory");
		free(request);
		return NULL;
	}
	connection->fd = -1;
	connection->request = request;
	connection->request_bytes = request ? strlen(request) : 0;
	if (cat_resolve(address, &connection->addresses, error)) {
		connection->address = connection->addresses;
		if (cat_begin_connect(connection) || cat_try_next(connection, errno, error))
			return connection;
	}
	cat_connection_close(connection);
	return NULL;
}

int cat_connection_fd(const struct cat_connection *connection)
{
	return connection->fd;
}

bool cat_connection_is_ready(const struct cat_connection *connection)
{
	return connection->connected && connection->sent == connection->request_bytes;
}

short cat_connection_events(const struct cat_connection *connection)
{
	return cat_connection_is_ready(connection) ? POLLIN : POLLOUT;
}

/* Return the error of an attempt to connect: 0 when it is made, EINPROGRESS while it is not. */
static int cat_connect_error(const struct cat_connection *connection)
{
	struct pollfd poll_fd = { .fd = connection->fd, .events = POLLOUT };
	int number = 0;
	socklen_t size = sizeof(number);

	if (poll(&poll_fd, 1, 0) == 0)
		return EINPROGRESS;
	if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &number, &size))
		return errno;
	return number;
}

static bool cat_send_request(struct cat_connection *connection, char error[CAT_CONNECTION_ERROR])
{
	ssize_t sent;

	while (connection->sent < connection->request_bytes) {
		sent = send(connection->fd, connection->request + connection->sent,
			    connection->request_bytes - connection->sent, MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (sent < 0) {
			cat_explain_connect(connection, errno, error);
			return false;
		}
		connection->sent += (size_t)sent;
	}
	return true;
}

bool cat_connection_advance(struct cat_connection *connection, char error[CAT_CONNECTION_ERROR])
{
	int number;

	if (!connection->connected) {
		number = cat_connect_error(connection);
		if (number == EINPROGRESS)
			return true;
		if (number)
			return cat_try_next(connection, number, error);
		connection->connected = true;
	}
	return cat_send_request(connection, error);
}

bool cat_connection_next_address(struct cat_connection *connection,
				 char error[CAT_CONNECTION_ERROR])
{
	return cat_try_next(connection, ETIMEDOUT, error);
}

ssize_t cat_connection_receive(struct cat_connection *connection, void *buffer, size_t size)
{
	return recv(connection->fd, buffer, size, 0);
}

void cat_connection_close(struct cat_connection *connection)
{
	if (!connection)
		return;
	if (connection->fd >= 0)
		close(connection->fd);
	if (connection->addresses)
		freeaddrinfo(connection->addresses);
	free(connection->request);
	free(connection);
}
