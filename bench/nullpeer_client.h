/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An imaginary client: what a TCP receiver would answer to the packets that are reported, and how it
 * misbehaves.
 *
 *   received ....... what came in order, which is all acknowledged
 *   |  buffered      of it: not "read" yet; the window is what is left of --window beside that
 *
 * What comes behind a lost packet it keeps, and tells so (SACK).
 */
#ifndef NULLPEER_CLIENT_H
#define NULLPEER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "nullpeer_early.h"
#include "nullpeer_report.h"

#define CLIENT_NEVER UINT64_MAX

/* What it does when it has received so many bytes. */
enum client_action {
	ACTION_NONE,
	ACTION_STALL, /* reads no more: its window closes */
	ACTION_MUTE,  /* says nothing more */
	ACTION_RESET,
	ACTION_LEAVE, /* as close() does: a FIN, and a reset if more comes */
};

struct client_plan {
	enum client_action action;
	uint64_t action_after;
	uint64_t window; /* bytes, at most MAX_CLIENT_WINDOW */
	uint64_t rate;	 /* bytes a second, UNITS_RATE_MAX: all at once */
	uint64_t lose;	 /* each so manieth packet is lost, 0: none */
	uint64_t pause_each,
		pause_ns;	 /* after so many bytes it does not read for a while; 0: never */
	bool half_close;	 /* send a FIN at once, and go on receiving */
	const void *request;	 /* sent at once, before the FIN; or NULL */
	uint32_t request_length; /* at most MAX_CLIENT_REQUEST */
	bool again;		 /* connect again after ACTION_RESET and ACTION_LEAVE */
};

/* Fits into the window that a server of this kernel has at first: 64240 bytes. */
#define MAX_CLIENT_REQUEST 60000U

/* What a window scale of 14 can express. */
#define MAX_CLIENT_WINDOW (UINT64_C(1) << 29)

enum client_state {
	CLIENT_IDLE,	   /* not connected yet */
	CLIENT_CONNECTING, /* SYN sent */
	CLIENT_OPEN,
	CLIENT_LEAVING, /* FIN sent, not acknowledged */
	CLIENT_MUTE,
	CLIENT_ENDED,
};

/* Of all connections. */
struct client_counts {
	uint64_t joins, ended, resets; /* ended or reset by the server */
	uint64_t left, has_reset;      /* by ACTION_LEAVE, by ACTION_RESET */
	uint64_t refused;
	uint64_t packets, lost;
	uint64_t repeated; /* packets that had been received before */
	uint64_t early;	   /* packets that came behind one that was lost */
	uint64_t beyond;   /* packets with bytes that the window did not allow */
	uint64_t zero_windows;
};

struct client {
	const struct client_plan *plan;
	struct client_counts *counts; /* shared by all */
	enum client_state state;
	bool connected; /* at least once */
	bool fin_sent;	/* and next_sequence counts it */
	uint16_t port;
	uint8_t shift;		 /* window scale */
	uint32_t first_sequence; /* its own; it sends nothing but SYN, the request and FIN */
	uint32_t acknowledged;
	uint32_t next_sequence;
	uint32_t expected; /* sequence number of the next byte from the server */
	uint32_t edge;	   /* up to here the server may send */
	struct early early;
	uint64_t received; /* on this connection */
	uint64_t total;	   /* on all */
	uint64_t buffered;
	uint64_t unlost;    /* packets since one was lost */
	uint64_t read_at;   /* until then the rate is used up */
	uint64_t paused_at; /* the count of bytes at the last pause */
	uint64_t resume_at;
	uint64_t retry_at; /* SYN, request or FIN again, CLIENT_NEVER: nothing to repeat */
};

/** client_connect() - from @port. */
void client_connect(struct client *client, uint16_t port, uint64_t now);

/** client_take() - a packet came to it. */
void client_take(struct client *client, const struct report *report, uint64_t now);

/** client_tick() - do what there is to do by now. To be called every few milliseconds. */
void client_tick(struct client *client, uint64_t now);

/** client_abort() - reset its connection, unless it is mute. */
void client_abort(struct client *client);

/** client_refuse() - what a host answers to a packet for nobody. */
void client_refuse(const struct report *report);

#endif
