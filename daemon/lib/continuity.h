/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether frames follow each other without a gap, within a connection and from one connection to the next.
 *
 * Sequence and position count from the start of the stream in the daemon, through all epochs. A frame of another
 * connection has the same count if it has the epoch of the last block, or if the server has found the place that
 * it was asked for. With another count, nobody knows what was lost in between.
 */
#ifndef DMACAST_CONTINUITY_H
#define DMACAST_CONTINUITY_H

#include "lib/frame.h"

#include <stdbool.h>
#include <stdint.h>

/* How a connection began. */
enum continuity_link {
	CONTINUITY_JOIN, /* wherever the server lets a client begin */
	CONTINUITY_RESUMED, /* the server was asked for the block after the last one, and has accepted that */
	CONTINUITY_OLDEST, /* the server did not have that block any more; with its oldest one */
};

/* The place of a block: of the next one that is expected, for example. */
struct continuity_place {
	uint64_t sequence, position;
};

struct state;

struct continuity {
	enum continuity_link link;
	bool started;			/* a frame of this connection was there */
	bool joined;			/* a block of this connection, or its end, was there */
	bool received;			/* a block of any connection was there */
	uint32_t epoch;			/* of the last block of this connection; 0: none yet */
	uint32_t last_epoch;		/* of the last block that is no duplicate; 0: none yet */
	uint64_t last_sequence;		/* of that block */
	struct continuity_place first;	/* of the first frame of this connection */
	struct continuity_place next;	/* what must follow in this connection */
	struct continuity_place wanted; /* what follows the last block that is no duplicate */
};

/* What a frame says about the bytes before it. */
struct continuity_step {
	bool duplicate;	   /* a block that was received already */
	bool unknown_loss; /* the count is another one: what was lost is unknown */
	bool first;	   /* the first block of all connections */
	bool new_epoch;	   /* the first block, or one of another epoch than the last one */
	uint64_t
		lost_blocks; /* for this client; 0 if the loss is unknown and nothing is known besides */
	uint64_t lost_bytes;
};

/** continuity_begin() - note that a connection begins. */
void continuity_begin(struct continuity *continuity, enum continuity_link link);

/** continuity_transfer() - save or restore the object "continuity"; see state.h. */
void continuity_transfer(struct continuity *continuity, struct state *state);

/** continuity_resume() - note the last block of connections that others had. */
void continuity_resume(struct continuity *continuity, const struct frame *frame);

/**
 * continuity_check() - check the next frame.
 * @step: out
 * @error: out: on failure, what contradicts the frames before
 *
 * Return: false if the frame cannot follow, which is an error of the server or of the network.
 */
bool continuity_check(struct continuity *continuity, const struct frame *frame,
		      struct continuity_step *step, const char **error);

#endif
