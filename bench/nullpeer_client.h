/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An imaginary client: it answers reported packets as a TCP receiver would, and misbehaves on request.
 *
 *   received ....... bytes that came in order, all of them acknowledged
 *   |  buffered      bytes of these that are not "read" yet; the window is --window less these
 *
 * It keeps data that comes after a lost packet, and acknowledges it selectively (SACK).
 */
#ifndef NULLPEER_CLIENT_H
#define NULLPEER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "nullpeer_early.h"
#include "nullpeer_report.h"

#define CLIENT_NEVER UINT64_MAX

/* Action of a client after it has received action_after bytes. */
enum client_action {
	ACTION_NONE,
	ACTION_STALL, /* stop reading: the window closes */
	ACTION_MUTE,  /* stop answering */
	ACTION_RESET,
	ACTION_LEAVE, /* like close(): a FIN, and a reset if more data comes */
};

struct client_plan {
	enum client_action action;
	uint64_t action_after;
	uint64_t window; /* bytes, at most MAX_CLIENT_WINDOW */
	uint64_t rate;	 /* bytes per second, UNITS_RATE_MAX: no limit */
	uint64_t lose;	 /* every lose-th packet is lost, 0: none */
	uint64_t pause_each,
		pause_ns;	 /* bytes between pauses in reading, 0: none; length of a pause */
	bool half_close;	 /* send a FIN at once, and continue to receive */
	const void *request;	 /* sent at once, before the FIN; NULL: none */
	uint32_t request_length; /* at most MAX_CLIENT_REQUEST */
	bool again;		 /* connect again after ACTION_RESET and ACTION_LEAVE */
};

/* Bytes; fits into the initial window of a server of this kernel, 64240 bytes. */
#define MAX_CLIENT_REQUEST 60000U

/* Bytes; within the range of a window scale of 14. */
#define MAX_CLIENT_WINDOW (UINT64_C(1) << 29)

enum client_state {
	CLIENT_IDLE,	   /* not connected yet */
	CLIENT_CONNECTING, /* SYN sent */
	CLIENT_OPEN,
	CLIENT_LEAVING, /* FIN sent, not acknowledged */
	CLIENT_MUTE,
	CLIENT_ENDED,
};

/* Counts over all connections. */
struct client_counts {
	uint64_t joins, ended, resets; /* ended or reset by the server */
	uint64_t left, has_reset;      /* connections ended by ACTION_LEAVE, by ACTION_RESET */
	uint64_t refused;
	uint64_t packets, lost;
	uint64_t repeated; /* packets received before */
	uint64_t early;	   /* packets after a lost one */
	uint64_t beyond;   /* packets with bytes beyond the window */
	uint64_t zero_windows;
};

struct client {
	const struct client_plan *plan;
	struct client_counts *counts; /* shared by all */
	enum client_state state;
	bool connected; /* at least once */
	bool fin_sent;	/* next_sequence then includes it */
	uint16_t port;
	uint8_t shift;		 /* window scale */
	uint32_t first_sequence; /* of its SYN; the request and FIN follow */
	uint32_t acknowledged;
	uint32_t next_sequence;
	uint32_t expected; /* sequence number of the next byte from the server */
	uint32_t edge;	   /* end of the window: the server may send up to here */
	struct early early;
	uint64_t received; /* bytes on this connection */
	uint64_t total;	   /* bytes on all connections */
	uint64_t buffered;
	uint64_t unlost;    /* packets since one was lost */
	uint64_t read_at;   /* time until which the rate is used up */
	uint64_t paused_at; /* `received` at the last pause */
	uint64_t resume_at;
	uint64_t retry_at; /* time to repeat SYN, request or FIN; CLIENT_NEVER: nothing to repeat */
};

/** client_connect() - connect from @port. */
void client_connect(struct client *client, uint16_t port, uint64_t now);

/** client_take() - process a packet for the client. */
void client_take(struct client *client, const struct report *report, uint64_t now);

/** client_tick() - do what is due at @now; call it every few milliseconds. */
void client_tick(struct client *client, uint64_t now);

/** client_abort() - reset the connection, unless the client is mute. */
void client_abort(struct client *client);

/** client_refuse() - answer a packet that belongs to no connection, as a host would. */
void client_refuse(const struct report *report);

#endif
