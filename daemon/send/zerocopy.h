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
 * from the blocks, and no completion would say when it has finished.
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
#include <sys/uio.h>

struct ring;
struct state;

struct zerocopy {
	int fd;
	uint32_t packet;	/* bytes of payload in the largest packet that the kernel makes */
	uint32_t budgets;	/* calls of zerocopy_budget() */
	uint64_t accepted_peak; /* bytes of the largest recent zero-copy send */
	bool send_blocked;	/* the last send filled the socket; see zerocopy_unblock() */
	bool was_reset; /* completions from now on are of purged data, not of acknowledged data */
	struct zerocopy_probe probe;
	struct completions completions;
	struct latency *latency;
	void (*copy_state_changed)(void *argument, enum zerocopy_copy_state before,
				   enum zerocopy_copy_state now);
	void *argument; /* of copy_state_changed() */
	struct zerocopy_stats stats;
};

/* Largest number of blocks in one send; each is one piece of memory, or two with its header. */
#define ZEROCOPY_BLOCKS 64

/* A send: consecutive blocks, from an offset in the first one. */
struct zerocopy_request {
	struct block *first;
	uint32_t offset;    /* bytes of the first block to skip, with those of its header */
	uint32_t blocks;    /* at least 1, at most ZEROCOPY_BLOCKS */
	uint64_t max_bytes; /* at least 1 */
	bool framed;	    /* send the header of each block before it */
	bool is_history;    /* the client begins in the past: the age of a block is no latency */
	bool may_pin;	    /* false: send by copying, so that the send pins no block */
};

/**
 * zerocopy_open() - take over a connected socket.
 * @latency: gets the latency of each block; must outlive the last completion
 * @copy_state_changed: called for each change of the copy state: it is ZEROCOPY_UNKNOWN until a
 *	completion arrives, and again from zerocopy_close() on
 *
 * Under ZEROCOPY_AUTO and ZEROCOPY_ALWAYS a socket that refuses SO_ZEROCOPY sends by copying.
 */
void zerocopy_open(struct zerocopy *zerocopy, int fd, enum zerocopy_mode mode,
		   struct latency *latency,
		   void (*copy_state_changed)(void *argument, enum zerocopy_copy_state before,
					      enum zerocopy_copy_state now),
		   void *argument);

/**
 * zerocopy_send() - send as much as the socket accepts, without waiting.
 *
 * Return: bytes accepted; or -1 with errno: EAGAIN when the socket is full, anything else when the
 * connection is over. After ENOBUFS the bytes are sent by copying.
 */
ssize_t zerocopy_send(struct zerocopy *zerocopy, const struct zerocopy_request *request);

/**
 * zerocopy_send_copy() - send bytes that are in no block, by copying. Nothing refers to them afterwards.
 *
 * Return: as zerocopy_send().
 */
ssize_t zerocopy_send_copy(struct zerocopy *zerocopy, struct iovec *piece, size_t pieces);

/**
 * zerocopy_reap() - read the whole error queue and release the blocks of complete sends.
 *
 * Return: the number of these sends.
 */
uint64_t zerocopy_reap(struct zerocopy *zerocopy);

/**
 * zerocopy_budget() - bytes to send now, before other clients send.
 * @bytes: the budget, which is rounded down to whole packets: a partly filled last packet costs as much
 *	as a full one, and a zero-copy send always begins a packet of its own
 * @uncopied_bytes: upper bound of a larger budget for a socket whose zero-copy sends are not copied and
 *	that never met ENOBUFS. The budget is twice what the socket accepted recently, because the
 *	kernel counts all bytes that a send asks for as locked memory, accepted or not
 */
uint64_t zerocopy_budget(struct zerocopy *zerocopy, uint64_t bytes, uint64_t uncopied_bytes);

/** zerocopy_is_blocked() - Return: true from when a send fills the socket until it has space again. */
static inline bool zerocopy_is_blocked(const struct zerocopy *zerocopy)
{
	return zerocopy->send_blocked;
}

/** zerocopy_unblock() - note that the socket has space (EPOLLOUT). */
static inline void zerocopy_unblock(struct zerocopy *zerocopy)
{
	zerocopy->send_blocked = false;
}

/** zerocopy_outstanding() - sends whose completion was not read yet. */
static inline uint32_t zerocopy_outstanding(const struct zerocopy *zerocopy)
{
	return zerocopy->completions.outstanding;
}

/**
 * zerocopy_reset() - abort the connection: the peer gets an RST, the write queue is purged.
 *
 * Completions follow, mostly at once: call zerocopy_reap() until nothing is outstanding.
 */
void zerocopy_reset(struct zerocopy *zerocopy);

/**
 * zerocopy_save() - save the object "zerocopy": the socket, and the sends that are not complete.
 * @ring: NULL: no send is outstanding
 */
void zerocopy_save(struct zerocopy *zerocopy, struct ring *ring, struct state *state);

/**
 * zerocopy_restore() - restore it instead of zerocopy_open(); its blocks are pinned again. The error queue may have
 * completions of the predecessor's sends: call zerocopy_reap(). The kernel goes on with the numbers.
 * @mode, @latency, @copy_state_changed, @argument: as for zerocopy_open(). If the copy state is known it is called
 *
 * Return: false if the state has failed; then the connection was reset, and is closed.
 */
bool zerocopy_restore(struct zerocopy *zerocopy, struct ring *ring, struct state *state,
		      enum zerocopy_mode mode, struct latency *latency,
		      void (*copy_state_changed)(void *argument, enum zerocopy_copy_state before,
						 enum zerocopy_copy_state now),
		      void *argument);

/**
 * zerocopy_abandon() - reset and close a restored connection, and unpin its blocks at once: only if its ring is not
 * filled again, since the kernel may still send from them.
 */
void zerocopy_abandon(struct zerocopy *zerocopy);

/** zerocopy_close() - close the socket. Nothing may be outstanding. */
void zerocopy_close(struct zerocopy *zerocopy);

#endif
