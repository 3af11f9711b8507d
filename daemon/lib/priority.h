/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Priorities of the events of the loop. libevent runs only the active events of the first priority that
 * has any, and then polls again: events of PRIORITY_OPERATOR must be few and bounded, or streams starve.
 * An event without a call of event_priority_set() has PRIORITY_STREAMS.
 */
#ifndef DMACAST_PRIORITY_H
#define DMACAST_PRIORITY_H

enum {
	PRIORITY_OPERATOR, /* signals, the control socket, the metrics, the service manager, time limits */
	PRIORITY_STREAMS, /* sources, clients and reloads alike: none may starve another */
	PRIORITIES
};

/* Time in microseconds after which a long queue of events of PRIORITY_STREAMS is interrupted to poll. */
#define MAX_DISPATCH_US 5000

/* Work in nanoseconds that one callback for many clients may do before it returns to the loop. */
#define MAX_CALLBACK_NS 5000000ULL

/*
 * Bytes that a bufferevent of PRIORITY_OPERATOR writes at a time. With the 16 KiB of libevent, once in each turn
 * of a busy loop, a page about thousands of clients would take seconds.
 */
#define OPERATOR_WRITE_BYTES ((size_t)256 << 10)

#endif
