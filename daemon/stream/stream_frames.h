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

#include "lib/frame.h"
#include "lib/settings.h"
#include "lib/shared_bytes.h"
#include "ring/block.h"

#include <stdbool.h>
#include <stdint.h>

struct state;

/* Epochs that are remembered after their blocks have gone. */
#define FRAMES_RUNS 64

/* The blocks of one epoch, up to those of the next one. */
struct frames_run {
	uint64_t sequence; /* of the first block */
	uint32_t epoch;
};

struct stream_frames {
	const struct stream_settings *settings;
	uint32_t epoch;
	bool starts;			    /* the next block is the first one of the epoch */
	uint64_t lost_blocks;		    /* at the source before the next block */
	struct shared_bytes *metadata;	    /* JSON text */
	bool stale;			    /* there was no memory for newer metadata */
	struct frames_run run[FRAMES_RUNS]; /* the last ones; run N is at N % FRAMES_RUNS */
	uint64_t runs;			    /* that have had a block */
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
