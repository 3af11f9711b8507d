// SPDX-License-Identifier: BSD-2-Clause
#include "lib/listen.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/names.h"
#include "lib/priority.h"
#include "lib/service.h"
#include "lib/state.h"

#include <bsd/sys/queue.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Time without accepting after an accept() that failed. */
static const struct timeval pause_time = { .tv_usec = 500000 };

/* Ratio of the pause after accepting for a while to that while, for sockets that come before the streams. */
#define PAUSE_RATIO 9

/* A pause is logged only if there was none for this long. */
#define QUIET_NS 60000000000ULL

struct listen_set {
	LIST_ENTRY(listen_set) entry;
	struct listen_callbacks callbacks;
	void *argument;
	struct event_base *base;
	struct evconnlistener *socket[MAX_LISTEN_SOCKETS];
	unsigned int sockets;
	bool missing;	  /* see listen_is_missing() */
	bool held;	  /* by the owner */
	bool paused;	  /* until the timer expires */
	bool is_operator; /* has PRIORITY_OPERATOR */
	struct event resume_timer;
	uint64_t spent_ns;  /* on connections, since the last pause for it */
	uint64_t paused_ns; /* time of the last pause; 0: never */
};

/*
 * All sets. libevent has one argument for both callbacks of a listener, and where a library accepts
 * by itself the argument is the library's: so the set is found by its socket.
 */
static LIST_HEAD(, listen_set) sets = LIST_HEAD_INITIALIZER(sets);

static struct listen_set *listen_find(const struct evconnlistener *socket)
{
	struct listen_set *set;

	LIST_FOREACH (set, &sets, entry) {
		for (unsigned int i = 0; i < set->sockets; i++) {
			if (set->socket[i] == socket)
				return set;
		}
	}
	return NULL;
}

/* Without memory to watch a socket, pause: the end of the pause tries again. */
static void listen_switch(struct listen_set *set)
{
	bool accepting = !set->held && !set->paused, failed = false;

	for (unsigned int i = 0; i < set->sockets; i++) {
		if (accepting)
			failed |= evconnlistener_enable(set->socket[i]) != 0;
		else
			evconnlistener_disable(set->socket[i]);
	}
	if (!failed)
		return;
	set->paused = true;
	event_add(&set->resume_timer, &pause_time);
}

/*
 * Let other events run: libevent accepts until the queue is empty. The timer is one of the first events of
 * the next turn, and after it the socket is one of the last, unless it comes before the streams.
 */
static void listen_yield(struct listen_set *set)
{
	struct timeval pause = clock_timeval(set->spent_ns / 1000 * PAUSE_RATIO);

	set->spent_ns = 0;
	set->paused = true;
	listen_switch(set);
	if (!set->is_operator || event_add(&set->resume_timer, &pause))
		event_active(&set->resume_timer, EV_TIMEOUT, 0);
}

static void listen_accepted(struct evconnlistener *socket, evutil_socket_t fd,
			    struct sockaddr *peer, int length, void *argument)
{
	struct listen_set *set = argument;
	uint64_t begin = clock_monotonic_ns();

	set->callbacks.accepted(set->argument, fd, peer, (socklen_t)length);
	if (listen_find(socket) != set)
		return; /* closed meanwhile, with its endpoint */
	set->spent_ns += clock_monotonic_ns() - begin;
	if (set->spent_ns >= MAX_CALLBACK_NS)
		listen_yield(set);
}

static void listen_log_pause(const struct listen_set *set, int error)
{
	char what[512];

	set->callbacks.describe(set->argument, what, sizeof(what));
	log_warning("%s: accept: %s; new clients have to wait%s", what, strerror(error),
		    error == EMFILE ? "; raise the limit of open files (LimitNOFILE=)" : "");
}

static void listen_accept_failed(struct evconnlistener *socket, void *argument)
{
	int error = EVUTIL_SOCKET_ERROR();
	uint64_t now = clock_monotonic_ns();
	struct listen_set *set = listen_find(socket);

	(void)argument; /* see `sets` */
	if (!set)
		return;
	/* Pauses follow each other as long as there are too few descriptors, even if single clients
	 * are accepted in between, when others leave: log the first one only. */
	if (!set->paused_ns || now - set->paused_ns > QUIET_NS)
		listen_log_pause(set, error);
	set->paused_ns = now;
	set->paused = true;
	listen_switch(set);
	event_add(&set->resume_timer, &pause_time);
}

static void listen_resume_timer_expired(evutil_socket_t fd, short what, void *argument)
{
	struct listen_set *set = argument;

	(void)fd;
	(void)what;
	set->paused = false;
	listen_switch(set);
}

struct listen_set *listen_create(struct event_base *base, const struct listen_callbacks *callbacks,
				 void *argument)
{
	struct listen_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	set->base = base;
	set->callbacks = *callbacks;
	set->argument = argument;
	evtimer_assign(&set->resume_timer, base, listen_resume_timer_expired, set);
	event_priority_set(&set->resume_timer, PRIORITY_OPERATOR);
	LIST_INSERT_HEAD(&sets, set, entry);
	return set;
}

void listen_prioritize(struct listen_set *set)
{
	set->is_operator = true;
}

struct listen_event {
	int fd;
	struct event *event;
};

static int listen_event_is_of(const struct event_base *base, const struct event *event,
			      void *argument)
{
	struct listen_event *wanted = argument;

	(void)base;
	if (event_get_fd(event) != wanted->fd)
		return 0;
	wanted->event = (struct event *)(uintptr_t)event;
	return 1;
}

/* libevent has no call for the priority of a listener, but its event can be found. */
static void listen_raise_priority(const struct listen_set *set, struct evconnlistener *socket)
{
	struct listen_event found = { .fd = evconnlistener_get_fd(socket) };

	event_base_foreach_event(set->base, listen_event_is_of, &found);
	if (!found.event || event_priority_set(found.event, PRIORITY_OPERATOR))
		log_debug("a listening socket keeps the priority of streams");
}

static void listen_report_opened(const struct listen_set *set, int fd)
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	char text[ADDRESS_TEXT];

	if (set->callbacks.opened && getsockname(fd, (struct sockaddr *)&bound, &length) == 0)
		set->callbacks.opened(set->argument,
				      address_format((const struct sockaddr *)&bound, text));
}

/* Accept on @fd, which listens. Return: false with errno set and @fd closed. */
static bool listen_add_socket(struct listen_set *set, int fd)
{
	struct evconnlistener *socket;

	if (set->callbacks.attach)
		socket = set->callbacks.attach(set->argument, fd);
	else
		/* Enabled below: this ignores that there is no memory to watch the socket. */
		socket = evconnlistener_new(
			set->base, listen_accepted, set,
			LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_DISABLED, 0, fd);
	if (!socket) {
		close(fd);
		errno = ENOMEM;
		return false;
	}
	if (!set->callbacks.attach && evconnlistener_enable(socket)) {
		evconnlistener_free(socket);
		errno = ENOMEM;
		return false;
	}
	if (set->is_operator)
		listen_raise_priority(set, socket);
	evconnlistener_set_error_cb(socket, listen_accept_failed);
	set->socket[set->sockets++] = socket;
	if (set->held)
		evconnlistener_disable(socket);
	return true;
}

/* The same for a socket that is new. */
static bool listen_open_on(struct listen_set *set, int fd)
{
	if (!listen_add_socket(set, fd))
		return false;
	listen_report_opened(set, fd);
	return true;
}

const char *listen_on_bound(struct listen_set *set, int fd, int backlog)
{
	int error;

	if (listen(fd, backlog)) {
		error = errno;
		close(fd);
		return strerror(error);
	}
	return listen_open_on(set, fd) ? NULL : strerror(errno);
}

/* Return: false with errno set. */
static bool listen_set_options(int fd, const struct listen_options *options)
{
	int one = 1;

	/* A client that is still being drained holds the port. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (options->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)))
		return false;
	return !options->interface ||
	       !setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options->interface,
			   (socklen_t)strlen(options->interface));
}

static bool listen_bind(int fd, const struct addrinfo *address)
{
	return bind(fd, address->ai_addr, address->ai_addrlen) == 0;
}

/* Bind to an address that the machine does not have yet. Return: false with errno set. */
static bool listen_bind_early(const struct listen_set *set, int fd, const struct addrinfo *address)
{
	int one = 1;
	char what[512];

	if (address->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
	if (!listen_bind(fd, address))
		return false;
	set->callbacks.describe(set->argument, what, sizeof(what));
	log_notice("%s: this machine does not have the address yet; clients can connect when it "
		   "does",
		   what);
	return true;
}

/* Return: a listening socket, or -1 with errno set. */
static int listen_open_socket(const struct listen_set *set, const struct addrinfo *address,
			      const struct listen_options *options, bool every_family)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int only = !every_family, error;

	if (fd < 0)
		return -1;
	if (address->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	if (listen_set_options(fd, options) &&
	    (listen_bind(fd, address) || (options->freebind && errno == EADDRNOTAVAIL &&
					  listen_bind_early(set, fd, address))) &&
	    listen(fd, options->backlog) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* Return: false with errno set. */
static bool listen_on_one(struct listen_set *set, const struct addrinfo *address,
			  const struct listen_options *options, bool every_family)
{
	int fd = listen_open_socket(set, address, options, every_family);

	return fd >= 0 && listen_open_on(set, fd);
}

static bool listen_lacks_address(int error)
{
	return error == EAFNOSUPPORT || error == EADDRNOTAVAIL;
}

/* Return true if a name has no address now, or its server does not answer. */
static bool listen_lacks_name(int error)
{
	return error == EAI_NONAME || error == EAI_NODATA || error == EAI_AGAIN ||
	       error == EAI_FAIL || error == EAI_ADDRFAMILY;
}

/* Return: 0 or an errno. */
static int listen_on_everything(struct listen_set *set, const struct addrinfo *addresses,
				const struct listen_options *options)
{
	static const int family[] = { AF_INET6, AF_INET };
	int error = EADDRNOTAVAIL;

	for (size_t i = 0; i < 2; i++) {
		for (const struct addrinfo *address = addresses; address;
		     address = address->ai_next) {
			if (address->ai_family != family[i])
				continue;
			if (listen_on_one(set, address, options, true))
				return 0;
			error = errno;
			if (!listen_lacks_address(error))
				return error;
		}
	}
	return error;
}

static void listen_warn_of_missing(const struct listen_set *set, const struct sockaddr *address,
				   int error)
{
	char what[512], text[ADDRESS_TEXT];

	set->callbacks.describe(set->argument, what, sizeof(what));
	log_warning("%s: not listening on %s: %s", what, address_format(address, text),
		    strerror(error));
}

/*
 * @named: a name stands for the addresses: warn of those that are missing
 *
 * Return: 0 or an errno.
 */
static int listen_on_all(struct listen_set *set, const struct addrinfo *addresses,
			 const struct listen_options *options, bool named)
{
	int error = EADDRNOTAVAIL;

	for (const struct addrinfo *address = addresses; address; address = address->ai_next) {
		if (set->sockets == MAX_LISTEN_SOCKETS)
			break;
		if (listen_on_one(set, address, options, false))
			continue;
		error = errno;
		if (!listen_lacks_address(error))
			return error;
		if (named)
			listen_warn_of_missing(set, address->ai_addr, error);
	}
	return set->sockets ? 0 : error;
}

/* Return true if another set of this process listens on @port, at any address. */
static bool listen_others_have(const struct listen_set *self, const char *port)
{
	const struct listen_set *set;

	LIST_FOREACH (set, &sets, entry) {
		for (unsigned int i = 0; set != self && i < set->sockets; i++) {
			struct sockaddr_storage bound = { 0 };
			socklen_t length = sizeof(bound);
			/* The port is at the same place in both families. */
			const struct sockaddr_in *in = (const void *)&bound;

			getsockname(evconnlistener_get_fd(set->socket[i]),
				    (struct sockaddr *)&bound, &length);
			if (bound.ss_family != AF_UNIX && ntohs(in->sin_port) == atoi(port))
				return true;
		}
	}
	return false;
}

static const char *listen_reason(const struct listen_set *set, int error, const char *port)
{
	if (!error)
		return NULL;
	if (error == EADDRINUSE && listen_others_have(set, port))
		return "Address already in use by this daemon; to move a port, remove its former "
		       "use and reload first";
	return strerror(error);
}

/* Return: NULL, or why the name of @address has no addresses in @resolved. */
static const char *listen_find_name(const struct address *address, const struct names *names,
				    struct resolved *resolved)
{
	const struct resolved *found = names ? names_find(names, address->host) : NULL;

	if (!found)
		return "the name was not resolved";
	*resolved = *found;
	return resolved_error(resolved);
}

/* Every address of the machine, or of its loopback. Return: 0, or an errno. */
static int listen_on_no_host(struct listen_set *set, const struct address *address,
			     const struct listen_options *options)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *addresses = NULL;
	int error;

	if (!options->loopback)
		hints.ai_flags |= AI_PASSIVE;
	error = getaddrinfo(NULL, address->port, &hints, &addresses);
	if (error)
		return error == EAI_SYSTEM ? errno : ENOMEM;
	error = options->loopback ? listen_on_all(set, addresses, options, false)
				  : listen_on_everything(set, addresses, options);
	freeaddrinfo(addresses);
	return error;
}

const char *listen_on_address(struct listen_set *set, const struct address *address,
			      const struct listen_options *options)
{
	struct resolved resolved = { .error = 0 };
	bool named = address->host[0] && !resolver_numeric(address->host, &resolved);
	const char *wrong = named ? listen_find_name(address, options->names, &resolved)
				  : resolved_error(&resolved);
	struct listen_options wanted = *options;
	int error;

	set->missing = listen_lacks_name(resolved.error);
	if (wrong)
		return wrong;
	/* The addresses of a name may be those of another machine. */
	wanted.freebind &= address->host[0] && !named;
	if (address->host[0])
		error = listen_on_all(set, resolved_list(&resolved, address->port), &wanted, named);
	else
		error = listen_on_no_host(set, address, &wanted);
	set->missing = listen_lacks_address(error);
	return listen_reason(set, error, address->port);
}

bool listen_is_missing(const struct listen_set *set)
{
	return set->missing;
}

/* The descriptors are duplicates: the end of a stream is not the end of its sockets. */
const char *listen_on_passed(struct listen_set *set, const char *name)
{
	int fd;

	while ((fd = service_socket(name, set->sockets)) >= 0) {
		if (set->sockets == MAX_LISTEN_SOCKETS)
			return "too many sockets of this name";
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0 || !listen_open_on(set, fd))
			return strerror(errno);
	}
	if (set->sockets)
		return NULL;
	return "no socket of this name was passed; expected a started socket unit with "
	       "FileDescriptorName= this name and Service= this service";
}

void listen_each_address(const struct listen_set *set,
			 void (*each)(void *argument, const char *address), void *argument)
{
	for (unsigned int i = 0; i < set->sockets; i++) {
		struct sockaddr_storage bound = { 0 };
		socklen_t length = sizeof(bound);
		char text[ADDRESS_TEXT];

		getsockname(evconnlistener_get_fd(set->socket[i]), (struct sockaddr *)&bound,
			    &length);
		if (bound.ss_family == AF_INET || bound.ss_family == AF_INET6)
			each(argument, address_format((const struct sockaddr *)&bound, text));
	}
}

void listen_hold(struct listen_set *set)
{
	set->held = true;
	listen_switch(set);
}

void listen_release(struct listen_set *set)
{
	if (!set->held)
		return;
	set->held = false;
	listen_switch(set);
}

void listen_close(struct listen_set *set)
{
	event_del(&set->resume_timer);
	for (unsigned int i = 0; i < set->sockets && !set->callbacks.attach; i++)
		evconnlistener_free(set->socket[i]);
	LIST_REMOVE(set, entry);
	free(set);
}

/* ---- handover ---- */

void listen_save(const struct listen_set *set, struct state *state)
{
	uint64_t paused_ns = set->paused_ns;
	bool held = set->held;

	state_enter(state, "set");
	state_bool(state, "held", &held);
	state_u64(state, "paused_ns", &paused_ns);
	state_list(state, "sockets", MAX_LISTEN_SOCKETS);
	for (unsigned int i = 0; i < set->sockets; i++) {
		int fd = evconnlistener_get_fd(set->socket[i]);

		state_item(state);
		state_descriptor(state, "fd", &fd);
		state_leave(state);
	}
	state_list_end(state);
	state_leave(state);
}

/* Accepting must not wait: another version may have left that to its event loop. */
static bool listen_is_listening(int fd)
{
	int listens = 0, flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
	socklen_t length = sizeof(listens);

	return flags >= 0 && !fcntl(fd, F_SETFL, flags | O_NONBLOCK) &&
	       !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) && listens;
}

static void listen_restore_socket(struct listen_set *set, struct state *state)
{
	int fd = -1;

	state_descriptor(state, "fd", &fd);
	if (state_failed(state))
		return;
	if (!listen_is_listening(fd)) {
		state_fail(state, "fd: is no listening socket");
		if (fd >= 0)
			close(fd);
	} else if (!listen_add_socket(set, fd)) {
		state_fail(state, "fd: %s", strerror(errno));
	}
}

void listen_restore(struct listen_set *set, struct state *state)
{
	state_enter(state, "set");
	state_bool(state, "held", &set->held);
	state_u64(state, "paused_ns", &set->paused_ns);
	state_list(state, "sockets", MAX_LISTEN_SOCKETS);
	while (state_next_item(state))
		listen_restore_socket(set, state);
	state_leave(state);
}
