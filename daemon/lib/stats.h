/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counters, in plain structs: for each client while it is connected, and for each stream, by its name,
 * since the daemon started. Whatever happens to its device, its settings and its clients, the numbers
 * of a stream only grow. The counters of a client are added to those of its stream when it leaves, so
 * the total is `left` plus those of the connected clients.
 */
#ifndef DMACAST_STATS_H
#define DMACAST_STATS_H

#include "lib/histogram.h"
#include "lib/http_code.h"
#include "lib/rate.h"

#include <stdint.h>

struct state;

/* Why a client left. */
enum leave_reason {
	LEAVE_END_OF_STREAM, /* it has everything */
	LEAVE_RESET_BY_PEER,
	LEAVE_TIMED_OUT,
	LEAVE_TOO_SLOW,
	LEAVE_HALF_CLOSED, /* the peer shut down its sending side, and was ended for that */
	LEAVE_ANSWERED,	   /* by HTTP, with something else than the feed */
	LEAVE_REFUSED,	   /* its HTTP request, with an error */
	LEAVE_BY_OPERATOR,
	LEAVE_STOPPING,	   /* the daemon stopped before the client had everything */
	LEAVE_DEVICE_GONE, /* the device went again before the client had everything from before */
	LEAVE_ERROR,	   /* any other error of the connection */
	LEAVE_REASONS
};

/* Why a client was refused. */
enum refuse_reason {
	REFUSE_MAX_CLIENTS,
	REFUSE_MAX_PER_ADDRESS,
	REFUSE_NO_DESCRIPTOR, /* the rest is kept back for sources, the operator and the metrics */
	REFUSE_NO_MEMORY,
	REFUSE_DENIED, /* by `allow` and `deny` */
	REFUSE_CONNECT_RATE,
	REFUSE_REASONS
};

/** refuse_reason_word() - return the word for programs: "max_clients". */
const char *refuse_reason_word(enum refuse_reason reason);

/** refuse_reason_text() - return the text for the log: "max-clients is reached". */
const char *refuse_reason_text(enum refuse_reason reason);

/** leave_reason_word() - return the word for programs: "reset_by_peer". */
const char *leave_reason_word(enum leave_reason reason);

/** leave_reason_text() - return the text for the log: "reset by peer". */
const char *leave_reason_text(enum leave_reason reason);

/* One connection's sends; see zerocopy.h. */
struct zerocopy_stats {
	uint64_t zerocopy_sends;
	uint64_t copied_sends;	      /* sent without the flag */
	uint64_t completed;	      /* sends that the kernel reported complete */
	uint64_t completed_copied;    /* completed sends that the kernel copied after all */
	uint64_t no_buffer;	      /* ENOBUFS: sent by copying instead */
	uint64_t foreign_completions; /* numbers that were not outstanding: a bug */
	uint64_t truncated;	      /* notifications that did not fit the buffer: a bug */
};

struct client_stats {
	uint64_t sent_bytes;
	uint64_t dropped_bytes;	 /* not sent because the client was too slow */
	uint64_t drops;		 /* number of times */
	uint64_t received_bytes; /* that it sent, whatever became of them */
};

/* Several clients together. */
struct client_totals {
	struct client_stats stats;
	struct zerocopy_stats sends;
};

/** client_totals_add() - one client more. */
void client_totals_add(struct client_totals *totals, const struct client_stats *stats,
		       const struct zerocopy_stats *sends);

/** client_totals_join() - add @others to @totals. */
void client_totals_join(struct client_totals *totals, const struct client_totals *others);

/*
 * Times for each block and client: from the full block to the last byte handed to the socket, and to
 * the kernel's report that the client has it. The second is known for zero-copy sends only.
 */
struct latency {
	struct histogram to_send;
	struct histogram to_acknowledged;
};

/* Bytes that were sent to all clients together. */
struct sent_counter {
	uint64_t bytes;
	struct rate rate;
};

/* What became of the bytes that clients sent. */
struct input_stats {
	uint64_t forwarded_bytes; /* to the source */
	uint64_t discarded_bytes;
};

/* The endpoints of one section. */
struct endpoint_stats {
	struct endpoint_stats *next;
	char *name; /* of [endpoint NAME]; NULL: the stream's own endpoints */
	uint64_t joined;
	uint64_t refused;
};

struct stream_stats {
	/* What the source filled. */
	uint64_t blocks;
	uint64_t bytes;
	struct rate rate; /* of `bytes` */
	/*
	 * Of a device: the blocks it filled, or tried to, that never came here, and how often some of
	 * them were missing. Other sources lose nothing: they wait.
	 */
	uint64_t lost_blocks;
	uint64_t losses;
	/* Records that are in no block as a whole: larger than a block, or cut short by the source. */
	uint64_t broken_records;
	/* How often the source had to wait, because no block was free. */
	uint64_t waits;
	/* How often the source was started, and opened again meanwhile; the monotonic time of its last block. */
	uint64_t source_starts;
	uint64_t source_restarts;
	uint64_t origin_switches; /* of a relay: to another one of its origins */
	uint64_t last_block_ns;	  /* 0: none */
	struct latency latency;
	/* Clients. */
	struct sent_counter sent;
	struct input_stats input;
	uint64_t joined;
	uint64_t refused;
	uint64_t refused_for[REFUSE_REASONS]; /* their sum is `refused` */
	uint64_t left_for[LEAVE_REASONS];
	uint64_t http_answers[HTTP_CODES];
	struct client_totals left; /* those who left */
	struct endpoint_stats own; /* the stream's own endpoints; then those of each section */
};

/**
 * stream_stats_endpoint() - return the counters of a section, which stay until stream_stats_clear().
 * @name: NULL: the stream's own endpoints
 *
 * Return: NULL without memory.
 */
struct endpoint_stats *stream_stats_endpoint(struct stream_stats *stats, const char *name);

/** stream_stats_clear() - free the counters of sections. */
void stream_stats_clear(struct stream_stats *stats);

/* Save or restore the object @name; see state.h. */
void client_stats_transfer(struct client_stats *stats, struct state *state, const char *name);
void zerocopy_stats_transfer(struct zerocopy_stats *stats, struct state *state, const char *name);
void client_totals_transfer(struct client_totals *totals, struct state *state, const char *name);

/** stream_stats_transfer() - do the same with the counters of a stream. @stats: all zero while restoring */
void stream_stats_transfer(struct stream_stats *stats, struct state *state, const char *name);

#endif
