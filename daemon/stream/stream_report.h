/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of a stream, as plain values for others to show. */
#ifndef DMACAST_STREAM_REPORT_H
#define DMACAST_STREAM_REPORT_H

#include "lib/settings.h"
#include "lib/stats.h"
#include "ring/ring.h"

#include <stdbool.h>
#include <stdint.h>

struct client;
struct stream;

/* What there is to say about a stream. The pointers are good until the stream is closed. */
struct stream_report {
	const char *name;
	const char *state;  /* a word */
	const char *source; /* what it is, for people */
	const char *memory; /* the ring's, for people; "": there is no ring now */
	/* The ring: each block is in one of these states. */
	uint64_t block_size; /* bytes */
	uint32_t blocks;
	uint32_t blocks_free;	 /* of a device: those that the kernel has */
	uint32_t blocks_filling; /* with the source */
	uint32_t blocks_window;	 /* some client needs them, pinned or not */
	uint32_t blocks_pinned;	 /* only sends that are not complete need them */
	bool has_kernel;	 /* is there a device, to say: */
	struct ring_kernel_report kernel;
	/* Since its ring was opened. */
	uint64_t head;	/* the sequence that the next block gets */
	uint64_t bytes; /* before that one */
	/* Clients, those included whose end is under way. */
	uint64_t clients;
	struct client_totals present;
	uint64_t outstanding_sends;
	uint64_t most_lag_bytes; /* of the one that is farthest behind */
	uint64_t most_lag_ns;
	const struct stream_settings *settings;
	const struct stream_stats *stats; /* by name; `present` is not in there yet */
};

/** stream_report() - fill in @report. Looks at every client. */
void stream_report(const struct stream *stream, struct stream_report *report);

/** stream_each_client() - call @each for every client; see client_report(). It must not kick them. */
void stream_each_client(const struct stream *stream,
			void (*each)(void *argument, const struct client *client), void *argument);

#endif
