/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP packets made by hand, to the server. There is one sender in a process. */
#ifndef NULLPEER_FRAME_H
#define NULLPEER_FRAME_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "nullpeer_early.h"
#include "nullpeer_report.h"

/* The most that goes into a packet. */
#define MAX_FRAME_PAYLOAD 1460U

struct frame {
	uint16_t client_port;
	uint8_t flags; /* REPORT_* */
	uint32_t sequence;
	uint32_t ack;
	uint16_t window;      /* as it is in the header: scaled */
	uint8_t window_shift; /* in a SYN, which has the options for it, for the MSS and SACK */
	const struct early *early; /* for SACK, or NULL */
	const void *payload;	   /* stays as it is until frame_flush(); goes with no @early */
	size_t payload_length;
};

struct frame_way {
	const char *server_link, *peer_link; /* both ends */
	struct sockaddr_in server;
	struct in_addr source;
};

/** frame_open() - end the process when that fails. */
void frame_open(const struct frame_way *way);

/** frame_send() - it may wait until frame_flush(), or until there are some more. */
void frame_send(const struct frame *frame);

void frame_flush(void);

#endif
