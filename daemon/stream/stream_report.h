/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of a stream as plain values, for JSON and metrics. */
#ifndef DMACAST_STREAM_REPORT_H
#define DMACAST_STREAM_REPORT_H

#include "lib/settings.h"
#include "lib/stats.h"
#include "ring/ring.h"

#include <stdbool.h>
#include <stdint.h>

struct client;
struct listener;
struct stream;

/* The state of a stream at one moment. The pointers are valid until the stream is closed. */
struct stream_report {
	const char *name;
	const char *state;	  /* one word */
	const char *source;	  /* description */
	const char *source_state; /* one word, see source_state_word() */
	bool source_up;		  /* it is open: running or silent */
	bool has_source_byte;
	uint64_t source_byte_age_ns; /* of the last one; valid if has_source_byte */
	const char *memory;	     /* description of the ring's memory; "" without a ring */
	/* The ring. Each block is counted in one of the states. */
	uint64_t block_size; /* bytes */
	uint32_t blocks;
	uint32_t blocks_free;	  /* for a device: in the kernel */
	uint32_t blocks_filling;  /* with the source */
	uint32_t blocks_window;	  /* needed by a client that has not sent them, pinned or not */
	uint32_t blocks_retained; /* needed by nobody, but kept for new clients; pinned or not */
	uint32_t blocks_pinned;	  /* needed only by incomplete sends */
	uint64_t retained_bytes,
		retained_ns; /* what is retained, and the age of its oldest block */
	bool has_kernel;     /* `kernel` is valid: there is a device */
	struct ring_kernel_report kernel;
	/* Since its ring was opened. */
	uint64_t head;	/* sequence of the next block */
	uint64_t bytes; /* before the next block */
	/* Clients, including those that are ending. */
	uint64_t clients;
	struct client_totals present;
	uint64_t outstanding_sends;
	/* Bytes that their sockets may hold unsent: the limit, and what is granted above a client's first grant. */
	uint64_t socket_memory_limit, socket_memory_granted;
	uint64_t most_lag_bytes; /* of the slowest client */
	uint64_t most_lag_ns;
	const struct stream *stream;
	uint64_t endpoints_listening;
	uint64_t endpoints_waiting;
	uint64_t queued_input_bytes; /* from clients, for the source */
	uint64_t copied_rest_bytes;  /* copies of rests of blocks, for clients that skipped ahead */
	const struct stream_settings *settings;
	const struct stream_stats *stats; /* totals of the name, without `present` */
};

/** stream_state_word() - return the word for a state, from number 0 on; NULL: there is no such number. */
const char *stream_state_word(unsigned int state);

/** stream_report() - fill in @report. Takes time proportional to the number of clients. */
void stream_report(const struct stream *stream, struct stream_report *report);

/* The endpoints of one section, as plain values. The pointers are valid until the next reload. */
struct section_report {
	const char *name; /* of [endpoint NAME]; NULL: the stream's own endpoints */
	const struct text_list *listen;
	const char *format, *zerocopy; /* as the options have it */
	const struct client_settings *settings;
	uint64_t clients;
	const struct endpoint_stats *stats;
};

/** stream_each_section_report() - call @each for every section that new clients can join. */
void stream_each_section_report(const struct stream *stream,
				void (*each)(void *argument, const struct section_report *report),
				void *argument);

/** stream_each_listener() - call @each for every endpoint of all sections; there is none when the stream ends. */
void stream_each_listener(const struct stream *stream,
			  void (*each)(void *argument, const struct listener *listener),
			  void *argument);

/** stream_each_client() - call @each for every client; see client_report(). @each must not kick. */
void stream_each_client(const struct stream *stream,
			void (*each)(void *argument, const struct client *client), void *argument);

#endif
