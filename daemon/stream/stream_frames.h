/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What framed clients of a stream get besides its blocks: the headers of the blocks, and metadata. Headers are
 * written for each block, also while no client is framed: one may join at any time.
 *
 *   stream_frames_begin_epoch() ─▶ START in the next header, other metadata
 *   stream_frames_note_lost()   ─▶ LOSS in the next header
 */
#ifndef DMACAST_STREAM_FRAMES_H
#define DMACAST_STREAM_FRAMES_H

#include "lib/client_start.h"
#include "lib/frame.h"
#include "lib/settings.h"
#include "lib/shared_bytes.h"
#include "ring/block.h"

#include <stdbool.h>
#include <stdint.h>

struct state;

/* Difference between the numbers that clients see and those of the window, modulo 2^64; 0 unless this is a relay. */
struct frames_shift {
	uint64_t sequence, position;
};

/* Epochs that are remembered after their blocks have gone. */
#define FRAMES_RUNS 64

/*
 * The blocks of one epoch without a gap, up to those of the next run. Clients of a relay see the numbers of its origin,
 * which jump where blocks are missing, or begin again; those of the window do not.
 */
struct frames_run {
	uint64_t sequence; /* of the first block, in the window */
	uint32_t epoch;
	struct frames_shift shift;
	bool restarts; /* the numbers do not continue those of the run before */
};

struct stream_frames {
	const struct stream_settings *settings;
	uint32_t epoch;
	bool starts;			    /* the next block is the first one of the epoch */
	uint64_t lost_blocks;		    /* at the source before the next block */
	struct shared_bytes *metadata;	    /* JSON text */
	bool stale;			    /* there was no memory for newer metadata */
	struct frames_run run[FRAMES_RUNS]; /* the last ones; run N is at N % FRAMES_RUNS */
	uint64_t runs;			    /* that have had a block, or of a relay will have one */
	bool is_relay;		   /* the blocks and what identifies them are an origin's */
	bool is_known;		   /* of a relay: the origin has sent its metadata */
	struct frames_shift shift; /* of the next block */
	struct frame next;	   /* of a relay: header of the next block */
};

/* How a search for a block of a relay ended. */
enum frames_search { FRAMES_FOUND, FRAMES_GONE, FRAMES_UNKNOWN };

#define FRAMES_NO_END UINT64_MAX

/* A block of a relay. */
struct frames_found {
	uint64_t sequence; /* in the window */
	uint64_t
		end; /* in the window: where its numbers do not continue; FRAMES_NO_END: nowhere yet */
};

/**
 * stream_frames_init() - begin the first epoch.
 * @settings: must outlive @frames
 *
 * Return: false without memory.
 */
bool stream_frames_init(struct stream_frames *frames, const struct stream_settings *settings);

/** stream_frames_begin_epoch() - the source was opened again. Return: as stream_frames_refresh(). */
bool stream_frames_begin_epoch(struct stream_frames *frames);

/**
 * stream_frames_refresh() - make the metadata again.
 *
 * Return: true if it has changed. Without memory it stays as it is and is stale.
 */
bool stream_frames_refresh(struct stream_frames *frames);

/** stream_frames_note_lost() - @blocks were lost before the block that follows. */
void stream_frames_note_lost(struct stream_frames *frames, uint64_t blocks);

/**
 * stream_frames_write() - write the header of a block that enters the window next.
 * @sequence, @position: those that it will have
 */
void stream_frames_write(struct stream_frames *frames, struct block *block, uint64_t sequence,
			 uint64_t position);

/** stream_frames_are_known() - return true if a client can be told where it begins. */
static inline bool stream_frames_are_known(const struct stream_frames *frames)
{
	return !frames->is_relay || frames->is_known;
}

/**
 * stream_frames_follow() - let the next block of a relay have the numbers of @frame.
 * @restarts: they do not continue those of before
 * @sequence, @position: those that it will have in the window
 *
 * Return: true if another epoch begins.
 */
bool stream_frames_follow(struct stream_frames *frames, const struct frame *frame, bool restarts,
			  uint64_t sequence, uint64_t position);

/** stream_frames_set_metadata() - use the metadata of the origin. Return: as stream_frames_refresh(). */
bool stream_frames_set_metadata(struct stream_frames *frames, const void *bytes, size_t length);

/**
 * stream_frames_place() - return the sequence and the position that clients see of the block that has these in the
 * window; with @ends those behind the block before it.
 */
struct frames_shift stream_frames_place(const struct stream_frames *frames, uint64_t sequence,
					uint64_t position, bool ends);

/**
 * stream_frames_find() - find the block after @after in a relay.
 * @head: sequence of the next block in the window
 * @found: out
 *
 * Return: FRAMES_GONE if it was missing here, or is forgotten; FRAMES_UNKNOWN if there is no such block.
 */
enum frames_search stream_frames_find(const struct stream_frames *frames,
				      const struct block_name *after, uint64_t head,
				      struct frames_found *found);

/** stream_frames_first() - return the sequence in the window of the first block whose numbers continue up to now. */
uint64_t stream_frames_first(const struct stream_frames *frames);

/** stream_frames_epoch_of() - return the epoch of a block that was written; 0: it is forgotten. */
uint32_t stream_frames_epoch_of(const struct stream_frames *frames, uint64_t sequence);

/**
 * stream_frames_metadata_of() - return the metadata as it is for blocks of @epoch, for the caller to release.
 * Without memory it is that of the present epoch.
 */
struct shared_bytes *stream_frames_metadata_of(const struct stream_frames *frames, uint32_t epoch);

/**
 * stream_frames_transfer() - save or restore the object "frames"; see state.h. The metadata stay as the clients have
 * them: stream_frames_refresh() must follow when these are restored.
 * @frames: restoring: as stream_frames_init() made them
 */
void stream_frames_transfer(struct stream_frames *frames, struct state *state);

/** stream_frames_free() - release the metadata. */
void stream_frames_free(struct stream_frames *frames);

#endif
