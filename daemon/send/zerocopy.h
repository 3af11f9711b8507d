/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One TCP socket that sends blocks, with MSG_ZEROCOPY where that pays: the numbering of sends, their
 * completions, the fall-backs. No event loop in here.
 *
 * The socket goes through three phases:
 *
 *   open ── zerocopy_reset() ──▶ reset ── nothing outstanding ──▶ zerocopy_close()
 *     └──── everything sent and acknowledged, nothing outstanding ────▲
 *
 * The descriptor is never closed while a send is outstanding: the kernel would go on to transmit
 * from the blocks and nobody would ever learn when it is done.
 */
#ifndef DMACAST_ZEROCOPY_H
#define DMACAST_ZEROCOPY_H

#include "lib/settings.h"
#include "lib/stats.h"
#include "ring/block.h"
#include "send/completion.h"
#include "send/zerocopy_probe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Connections by their enum zerocopy_copy_state. */
struct zerocopy_verdicts {
	uint64_t count[ZEROCOPY_UNCOPIED + 1];
};

struct zerocopy {
	int fd;
	uint32_t packet; /* bytes of payload in the largest packet that the kernel makes */
	uint32_t turns;	 /* so often zerocopy_turn() was asked */
	bool full; /* the last send left no room: until EPOLLOUT, when the owner is to clear it */
	uint64_t taken; /* bytes of zero-copy sends: of the largest one, lately */
	struct zerocopy_probe probe;
	struct completions completions;
	bool was_reset; /* what completes from now on was purged, not acknowledged */
	struct latency *latency;
	struct zerocopy_verdicts *verdicts; /* with those of others that are sent the same */
	struct zerocopy_stats stats;
};

/* As many pieces as one send takes. */
#define ZEROCOPY_PIECES 64

/* A send to do: consecutive blocks, from a place in the first one. */
struct zerocopy_request {
	struct block *first;
	uint32_t offset;     /* bytes of the first block to leave out */
	uint32_t blocks;     /* at least 1, at most ZEROCOPY_PIECES */
	uint64_t most_bytes; /* no more than this, at least 1 */
	bool may_pin;	     /* false: copy, so that no block is pinned by this send */
};

/**
 * zerocopy_open() - take over a connected socket.
 * @latency: to add to; must outlive the last completion
 * @verdicts: where to count this one's; must outlive zerocopy_close()
 *
 * Under ZEROCOPY_AUTO and ZEROCOPY_ALWAYS a socket that refuses SO_ZEROCOPY sends by copying.
 */
void zerocopy_open(struct zerocopy *zerocopy, int fd, enum zerocopy_mode mode,
		   struct latency *latency, struct zerocopy_verdicts *verdicts);

/**
 * zerocopy_send() - send what the socket takes, without waiting.
 *
 * Return: bytes accepted; or -1 with errno: EAGAIN when the socket is full, anything else when the
 * connection is over. ENOBUFS is dealt with in here.
 */
ssize_t zerocopy_send(struct zerocopy *zerocopy, const struct zerocopy_request *request);

/**
 * zerocopy_reap() - read the whole error queue, let go of the blocks of complete sends.
 *
 * Return: how many sends were complete.
 */
uint64_t zerocopy_reap(struct zerocopy *zerocopy);

/**
 * zerocopy_turn() - how many bytes to send before others have their turn.
 * @bytes: this, or a little less: the rest of a send that does not fill its last packet costs as much as
 *	a full one, and a zero-copy send always begins a packet of its own
 * @uncopied_bytes: up to this instead, by zero-copy that is not copied and has met no limit (ENOBUFS).
 *	Twice as much as the socket took lately, for what a send asks for counts as locked memory,
 *	taken or not
 */
uint64_t zerocopy_turn(struct zerocopy *zerocopy, uint64_t bytes, uint64_t uncopied_bytes);

/** zerocopy_outstanding() - sends whose completion was not read yet. */
static inline uint32_t zerocopy_outstanding(const struct zerocopy *zerocopy)
{
	return zerocopy->completions.outstanding;
}

/**
 * zerocopy_reset() - abort the connection: the peer gets an RST, the write queue is purged.
 *
 * Completions can be read after it, and mostly at once: call zerocopy_reap() until nothing is
 * outstanding.
 */
void zerocopy_reset(struct zerocopy *zerocopy);

/** zerocopy_close() - close the socket. Nothing may be outstanding. */
void zerocopy_close(struct zerocopy *zerocopy);

#endif
