/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names to IP addresses, without waiting: a child process calls getaddrinfo(), which may wait for a name
 * server, and writes the result to a pipe that the event loop watches.
 *
 *   QUEUED ─ fewer children than the limit ─▶ RUNNING ─ result, child ended, time over ─▶ ENDING ─ reaped ─▶ freed
 */
#ifndef DMACAST_RESOLVER_H
#define DMACAST_RESOLVER_H

#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct event_base;
struct resolver_query;

/* Further addresses of a name are ignored. */
#define MAX_RESOLVED 16U

/* The result of a query: addresses, or an error. */
struct resolved {
	int error;	  /* 0, or EAI_... of getaddrinfo() */
	int system_error; /* errno, for EAI_SYSTEM */
	bool timed_out;	  /* with EAI_AGAIN */
	unsigned int count;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address[MAX_RESOLVED];	    /* in the order of getaddrinfo() */
	struct addrinfo info[MAX_RESOLVED]; /* set by resolved_list() */
};

/**
 * resolver_numeric() - convert an address such as 192.0.2.1 or fe80::1%eth0, without a name server.
 *
 * Return: false if @host is a name; else @resolved has the address, or an error such as EAI_MEMORY.
 */
bool resolver_numeric(const char *host, struct resolved *resolved);

/**
 * resolver_start() - resolve @host. Queries beyond a few at a time wait for their turn; each takes 15
 * seconds at most.
 * @flags: AI_... of getaddrinfo()
 * @done: called once from the event loop, never from within resolver_start(), when the query is over;
 *	@resolved is valid during the call. Do not cancel the query afterwards.
 *
 * Return: NULL without memory.
 */
struct resolver_query *resolver_start(struct event_base *base, const char *host, int flags,
				      void (*done)(void *argument, const struct resolved *resolved),
				      void *argument);

/** resolver_cancel() - end a query that is not over; done() is not called. */
void resolver_cancel(struct resolver_query *query);

/** resolver_forget() - end the children of cancelled queries of @base, which is freed next. */
void resolver_forget(const struct event_base *base);

/** resolved_error() - return why there is no address; NULL: there is one. */
const char *resolved_error(const struct resolved *resolved);

/**
 * resolved_list() - return the addresses with @port, a number, as a list like that of getaddrinfo(). It is a
 * part of @resolved.
 */
const struct addrinfo *resolved_list(struct resolved *resolved, const char *port);

#endif
