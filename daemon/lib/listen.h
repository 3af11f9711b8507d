/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listening sockets of one endpoint, and accepting on them. While the process has no descriptor
 * left, accepting pauses, since the socket would stay readable and the event loop would spin:
 *
 *   ACCEPTING ─ accept() fails ─▶ PAUSED ─ half a second ─▶ ACCEPTING
 *
 * The owner can also hold them, for reasons of its own. They accept when neither applies.
 *
 * A queue of many connections is accepted in parts, so that other events get their turn in between.
 */
#ifndef DMACAST_LISTEN_H
#define DMACAST_LISTEN_H

#include "lib/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct event_base;
struct evconnlistener;
struct listen_set;
struct names;
struct state;

/* An address of a name that resolves to more addresses is ignored. */
#define MAX_LISTEN_SOCKETS 16U

struct listen_callbacks {
	/* Take over @fd, a new connection: non-blocking and close-on-exec. Not used with attach(). */
	void (*accepted)(void *argument, int fd, const struct sockaddr *peer, socklen_t length);
	/*
	 * Optional: make the listener of @fd, for a library that accepts by itself. It owns @fd and
	 * itself from then on, and must exist as long as the set is used. Return: NULL without memory;
	 * the caller closes @fd.
	 */
	struct evconnlistener *(*attach)(void *argument, int fd);
	/* Optional: report one more socket that listens. @address: as address_format() writes it */
	void (*opened)(void *argument, const char *address);
	/* Write what listens, for the log: "stream adc: endpoint :7000". */
	void (*describe)(void *argument, char *text, size_t size);
};

struct listen_options {
	int backlog; /* of sockets that are opened here */
	/* The meaning of an address without a host: this machine only, instead of every address. */
	bool loopback;
	/* Also listen on a literal address that this machine does not have yet. */
	bool freebind;
	/* Has the host of the address, if that is a name: listening never waits. NULL: no names */
	const struct names *names;
	const char *interface; /* name of the network interface; NULL: every one */
	bool reuse_port;
};

/** listen_create() - return a set without sockets; NULL without memory. */
struct listen_set *listen_create(struct event_base *base, const struct listen_callbacks *callbacks,
				 void *argument);

/**
 * listen_prioritize() - give the sockets that are opened from now on PRIORITY_OPERATOR. Accepting, except by
 * attach(), then takes at most a tenth of the time. Call it before the first socket is opened.
 */
void listen_prioritize(struct listen_set *set);

/**
 * listen_on_address() - listen on every address that @address stands for and that this machine has.
 * Every address of the machine is one IPv6 socket for both families, or an IPv4 one where there is no
 * IPv6. A warning names each address of a name that is missing here, such as ::1 without IPv6.
 *
 * Return: NULL, or why not.
 */
const char *listen_on_address(struct listen_set *set, const struct address *address,
			      const struct listen_options *options);

/**
 * listen_is_missing() - return true if listen_on_address() failed because this machine does not have the
 * address now, or the name has none: both may come.
 */
bool listen_is_missing(const struct listen_set *set);

/**
 * listen_on_passed() - listen on every socket @name that the service manager passed. These stay open
 * when the set is closed.
 *
 * Return: NULL, or why not.
 */
const char *listen_on_passed(struct listen_set *set, const char *name);

/**
 * listen_on_bound() - listen on the bound socket @fd, and take it over.
 *
 * Return: NULL, or why not; @fd is closed then, too.
 */
const char *listen_on_bound(struct listen_set *set, int fd, int backlog);

/** listen_each_address() - call @each for the address of every socket, as address_format() writes it. */
void listen_each_address(const struct listen_set *set,
			 void (*each)(void *argument, const char *address), void *argument);

/** listen_hold() - accept nothing until listen_release(). */
void listen_hold(struct listen_set *set);

/** listen_release() - undo listen_hold(). */
void listen_release(struct listen_set *set);

/** listen_save() - save the sockets, whose queues of connections stay with them; see state.h. Not with attach(). */
void listen_save(const struct listen_set *set, struct state *state);

/** listen_restore() - accept on the sockets that were saved, or hold them as before. opened() is not called. @set: empty */
void listen_restore(struct listen_set *set, struct state *state);

/** listen_close() - close the sockets, except those of attach(), and free the set. */
void listen_close(struct listen_set *set);

#endif
