// SPDX-License-Identifier: BSD-2-Clause
#include "stream/listener.h"

#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/log.h"
#include "lib/service.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKETS_MAX 16

/* Without descriptors: so long until the next try. */
static const struct timeval pause_time = { .tv_usec = 500000 };

/* After so long without a pause the next one is news. */
#define QUIET_NS 60000000000ULL

struct listener {
	const char *name;
	char *endpoint;
	struct listener_owner owner;
	struct evconnlistener *socket[SOCKETS_MAX];
	unsigned int sockets;
	uint64_t paused_ns; /* when it had no descriptor last; 0: never */
	struct event resume;
};

static void connection_accepted(struct evconnlistener *socket, evutil_socket_t fd,
				struct sockaddr *peer, int length, void *argument)
{
	struct listener *listener = argument;

	(void)socket;
	listener->owner.accepted(listener->owner.argument, fd, peer, (socklen_t)length);
}

static void accept_failed(struct evconnlistener *socket, void *argument)
{
	struct listener *listener = argument;
	int error = EVUTIL_SOCKET_ERROR();
	uint64_t now = clock_monotonic_ns();

	(void)socket;
	/* Once for the whole time, though single clients come in between when others leave. */
	if (!listener->paused_ns || now - listener->paused_ns > QUIET_NS)
		log_warning("stream %s: endpoint %s: accept: %s; new clients have to wait%s",
			    listener->name, listener->endpoint, strerror(error),
			    error == EMFILE ? "; raise the limit of open files (LimitNOFILE=)"
					    : "");
	listener->paused_ns = now;
	for (unsigned int i = 0; i < listener->sockets; i++)
		evconnlistener_disable(listener->socket[i]);
	event_add(&listener->resume, &pause_time);
}

static void resume_accepting(evutil_socket_t fd, short what, void *argument)
{
	struct listener *listener = argument;

	(void)fd;
	(void)what;
	for (unsigned int i = 0; i < listener->sockets; i++)
		evconnlistener_enable(listener->socket[i]);
}

static int open_socket(const struct addrinfo *address, bool every_family)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1, only = !every_family, saved_errno;

	if (fd < 0)
		return -1;
	/* A client that is still being drained holds the port. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

static bool add_socket(struct listener *listener, struct event_base *base, int fd)
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	char text[ADDRESS_TEXT];
	struct evconnlistener *connections;

	/* Enabled below: evconnlistener_new() ignores that it has no memory to watch the socket. */
	connections = evconnlistener_new(
		base, connection_accepted, listener,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_DISABLED, 0, fd);
	if (!connections) {
		close(fd);
		return false;
	}
	if (evconnlistener_enable(connections)) {
		evconnlistener_free(connections);
		errno = ENOMEM;
		return false;
	}
	evconnlistener_set_error_cb(connections, accept_failed);
	listener->socket[listener->sockets++] = connections;
	if (getsockname(fd, (struct sockaddr *)&bound, &length) == 0)
		log_info("stream %s: listening on %s", listener->name,
			 address_format((const struct sockaddr *)&bound, text));
	return true;
}

static bool listen_on(struct listener *listener, struct event_base *base,
		      const struct addrinfo *address, bool every_family)
{
	int fd = open_socket(address, every_family);

	return fd >= 0 && add_socket(listener, base, fd);
}

/* Every address of the machine: one IPv6 socket for both families, or IPv4 where there is no other. */
static bool listen_everywhere(struct listener *listener, struct event_base *base,
			      const struct addrinfo *addresses)
{
	static const int family[] = { AF_INET6, AF_INET };

	for (size_t i = 0; i < 2; i++) {
		for (const struct addrinfo *address = addresses; address;
		     address = address->ai_next) {
			if (address->ai_family != family[i])
				continue;
			if (listen_on(listener, base, address, true))
				return true;
			if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)
				return false;
		}
	}
	return false;
}

static bool listen_on_each(struct listener *listener, struct event_base *base,
			   const struct addrinfo *addresses)
{
	for (const struct addrinfo *address = addresses; address; address = address->ai_next) {
		if (listener->sockets == SOCKETS_MAX)
			break;
		if (!listen_on(listener, base, address, false))
			return false;
	}
	return listener->sockets > 0;
}

/* Return: NULL, or what is wrong. */
static const char *listen_on_address(struct listener *listener, struct event_base *base,
				     const struct address *address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *addresses = NULL;
	bool listening;
	int error;

	error = getaddrinfo(address->host[0] ? address->host : NULL, address->port, &hints,
			    &addresses);
	if (error)
		return gai_strerror(error);
	if (address->host[0])
		listening = listen_on_each(listener, base, addresses);
	else
		listening = listen_everywhere(listener, base, addresses);
	error = errno;
	freeaddrinfo(addresses);
	return listening ? NULL : strerror(error);
}

/* The descriptors are duplicates: a stream that ends is not the end of the socket. */
static const char *listen_on_sockets(struct listener *listener, struct event_base *base,
				     const char *name)
{
	int fd;

	while ((fd = service_socket(name, listener->sockets)) >= 0) {
		if (listener->sockets == SOCKETS_MAX)
			return "too many sockets of this name";
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0 || !add_socket(listener, base, fd))
			return strerror(errno);
	}
	if (listener->sockets)
		return NULL;
	return "no socket of this name was passed; expected a started socket unit with "
	       "FileDescriptorName= this name and Service= this service";
}

static struct listener *create(struct event_base *base, const char *name, const char *text,
			       const struct listener_owner *owner)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return NULL;
	listener->name = name;
	listener->endpoint = strdup(text);
	listener->owner = *owner;
	evtimer_assign(&listener->resume, base, resume_accepting, listener);
	if (listener->endpoint)
		return listener;
	listener_close(listener);
	return NULL;
}

struct listener *listener_open(struct event_base *base, const char *name, const char *text,
			       const struct listener_owner *owner)
{
	struct listener *listener = create(base, name, text, owner);
	struct endpoint endpoint;
	const char *wrong = "no memory";

	if (listener && endpoint_parse(text, &endpoint, &wrong)) {
		if (endpoint.socket_name)
			wrong = listen_on_sockets(listener, base, endpoint.socket_name);
		else
			wrong = listen_on_address(listener, base, &endpoint.address);
	}
	if (!wrong)
		return listener;
	log_error("stream %s: listen = %s: %s", name, text, wrong);
	if (listener)
		listener_close(listener);
	return NULL;
}

void listener_set_owner(struct listener *listener, const char *name,
			const struct listener_owner *owner)
{
	listener->name = name;
	listener->owner = *owner;
}

const char *listener_endpoint(const struct listener *listener)
{
	return listener->endpoint;
}

void listener_close(struct listener *listener)
{
	event_del(&listener->resume);
	for (unsigned int i = 0; i < listener->sockets; i++)
		evconnlistener_free(listener->socket[i]);
	free(listener->endpoint);
	free(listener);
}
