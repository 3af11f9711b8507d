/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source fills the blocks of a ring and hands them on. All functions are called from, and call
 * back in, the thread of the event loop.
 */
#ifndef DMACAST_SOURCE_H
#define DMACAST_SOURCE_H

#include "lib/settings.h"
#include "ring/block.h"
#include "ring/ring.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct source;

/* What a source tells its owner, which must not free the source from within. */
struct source_owner {
	void *argument; /* of each of these */
	/* The ring is at its low-water mark: make room if your policy can. */
	void (*make_room)(void *argument);
	/* A filled block, now the owner's. Further ones may follow before ready(). */
	void (*block)(void *argument, struct block *block);
	/* So many blocks were lost before the one that follows. */
	void (*lost)(void *argument, uint64_t blocks);
	/* The source has to wait: no block is free. */
	void (*waits)(void *argument);
	/* Now is the time to send what was handed on. */
	void (*ready)(void *argument);
	/* Bytes that are worth making or reading before that, if there are so many at once. */
	size_t (*turn)(void *argument);
	/* The last block was handed on; nothing follows. @why: for people */
	void (*end)(void *argument, const char *why);
};

/**
 * source_open() - open the source that @settings ask for; it does not fill anything yet.
 * @settings: must outlive the source
 * @ring: becomes this source's to take from; of the kind that @settings ask for
 *
 * Return: NULL after an error, which was logged with the stream's name.
 */
struct source *source_open(struct event_base *base, const struct stream_settings *settings,
			   struct ring *ring, const struct source_owner *owner);

/** source_start() - begin to fill blocks. Once. */
void source_start(struct source *source);

/** source_stop() - hand on what is there (with no end() after it) and stop. May be repeated. */
void source_stop(struct source *source);

/** source_adapt() - the settings have changed, as far as they may: have regard to them from now on. */
void source_adapt(struct source *source);

/** source_text() - what the source is, for people: "exec:command". */
const char *source_text(const struct source *source);

/** source_close() - stop, hand nothing on, and free the source. Its ring stays. */
void source_close(struct source *source);

#endif
