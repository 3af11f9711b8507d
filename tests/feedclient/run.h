/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run - the state that all clients of a run share: time, lists, and which clients it waits for.
 */
#ifndef FEEDCLIENT_RUN_H
#define FEEDCLIENT_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define NS_PER_S UINT64_C(1000000000)
#define TICK_NS UINT64_C(10000000)

/* A time that never comes. */
#define NEVER UINT64_MAX

struct client;
TAILQ_HEAD(client_list, client);

struct run {
	struct client *clients;
	int epoll;
	/* Lists that client.c keeps; a client is in one at most. */
	struct client_list waiting;
	struct client_list connecting;
	struct client_list paused;
	unsigned int connecting_count;
	/* The run ends when none of the awaited clients, those of the lowest rank, is left. */
	uint64_t awaited;
	int awaited_rank;
	/* Nanoseconds of CLOCK_MONOTONIC. */
	uint64_t now;
	uint64_t started_at; /* when all were connected, or NEVER */
	uint64_t ended_at;
	uint64_t deadline;
	uint64_t started_bytes; /* tally.bytes at started_at */
	bool connect_failed;
	bool stopping;
};

extern struct run run;

/** run_clock() - return the time now, in nanoseconds of CLOCK_MONOTONIC. */
uint64_t run_clock(void);

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

#endif
