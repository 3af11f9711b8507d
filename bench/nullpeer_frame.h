/* SPDX-License-Identifier: BSD-2-Clause */
/* Hand-made TCP packets to the server. A process has one sender. */
#ifndef NULLPEER_FRAME_H
#define NULLPEER_FRAME_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "nullpeer_early.h"
#include "nullpeer_report.h"

/* Largest payload of a packet, in bytes. */
#define MAX_FRAME_PAYLOAD 1460U

struct frame {
	uint16_t client_port;
	uint8_t flags; /* REPORT_* */
	uint32_t sequence;
	uint32_t ack;
	uint16_t window;	   /* scaled, as in the header */
	uint8_t window_shift;	   /* for a SYN, which also has the options for MSS and SACK */
	const struct early *early; /* for SACK; NULL: none */
	const void *payload; /* must stay unchanged until frame_flush(); not together with @early */
	size_t payload_length;
};

struct frame_way {
	const char *server_link, *peer_link; /* both ends of the link */
	struct sockaddr_in server;
	struct in_addr source;
};

/** frame_open() - open the sender; exit on failure. */
void frame_open(const struct frame_way *way);

/** frame_send() - queue a packet, which is sent by frame_flush() or with a full batch. */
void frame_send(const struct frame *frame);

/** frame_flush() - send all queued packets. */
void frame_flush(void);

#endif
