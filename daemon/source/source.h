/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source fills the blocks of a ring and hands them on. All functions are called from, and call
 * back in, the thread of the event loop.
 */
#ifndef DMACAST_SOURCE_H
#define DMACAST_SOURCE_H

#include "lib/frame.h"
#include "lib/settings.h"
#include "ring/block.h"
#include "ring/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct names;
struct source;
struct state;

/* How a source is, for people and programs. */
enum source_state {
	SOURCE_WAITING, /* for clients, the next attempt, a device, a writer, or more of a file */
	SOURCE_CONNECTING, /* to a socket */
	SOURCE_RUNNING,
	SOURCE_SILENT, /* open, but no byte has come for SOURCE_SILENT_NS */
	SOURCE_ENDED,
	SOURCE_STATES
};

#define SOURCE_SILENT_NS 5000000000ULL

/* What a source reports. The source must not be freed within these calls. */
struct source_callbacks {
	/* The ring is at its low-water mark: free blocks, where the lag policy can. */
	void (*make_room)(void *argument);
	/* Take over a filled block. More may follow before ready(). */
	void (*block_filled)(void *argument, struct block *block);
	/* Optional for sources that lose none: @blocks were lost before the one that follows. */
	void (*blocks_lost)(void *argument, uint64_t blocks);
	/* Optional without records: a record is not whole in one block, or a part of it was dropped. */
	void (*record_broken)(void *argument);
	/* No block is free; the source waits for one. */
	void (*starved)(void *argument);
	/* Send the blocks that were handed on. */
	void (*ready)(void *argument);
	/* Return how many bytes are worth making or reading before the next ready(); 0: none in this turn. */
	size_t (*budget)(void *argument);
	/* Optional: it was opened again; not for the next writer of a FIFO, nor by source_start(). */
	void (*restarted)(void *argument);
	/* Optional: SOURCE_RUNNING has begun, after restarted() if that is called. */
	void (*up)(void *argument);
	/* Optional: SOURCE_RUNNING has ended. @why: text for people */
	void (*down)(void *argument, const char *why);
	/* Optional: the next block that is handed on begins a run; may be repeated before that block. */
	void (*run_begins)(void *argument);
	/*
	 * Only of a relay: the block that follows has the numbers, times and flags of @frame, as its origin has sent it.
	 * @restarts: they do not continue those of before. @missed: blocks before it that did not come here, or
	 * that the origin lost
	 */
	void (*identified)(void *argument, const struct frame *frame, bool restarts,
			   uint64_t missed);
	/* Only of a relay: the metadata or the preamble of its origin, which @frame is the header of. */
	void (*described)(void *argument, const struct frame *frame, const void *payload);
	/* Only of a relay: it connects to another one of its origins from now on, see source_text(). */
	void (*switched)(void *argument);
	/* Optional: source_write() may accept bytes, for the first time in this run or again. */
	void (*writable)(void *argument);
	/* Optional: the run that source_write() wrote to is over. writable() says when the next one began. */
	void (*unwritable)(void *argument);
	/* The last block was handed on; nothing follows. @why: text for the log */
	void (*ended)(void *argument, const char *why);
	/* Optional: source_is_busy() is false from now on, after ended() or source_stop(). */
	void (*idle)(void *argument);
};

/**
 * source_open() - open the source that @settings ask for; it does not fill anything yet.
 * @settings: must outlive the source
 * @callbacks: must outlive the source
 * @ring: becomes this source's to take from; of the kind that @settings ask for
 * @names: has the host that an input listens on, if that is a name; used during the call only
 *
 * Return: NULL after an error, which was logged with the stream's name.
 */
struct source *source_open(struct event_base *base, const struct stream_settings *settings,
			   struct ring *ring, const struct names *names,
			   const struct source_callbacks *callbacks, void *argument);

/** source_start() - begin to fill blocks; once, and again after each source_pause(). */
void source_start(struct source *source);

/**
 * source_pause() - hand on what is there, and stop until source_start(), which begins a run.
 *
 * What the source produces meanwhile is not handed on later, except for producers that connect to it: these wait.
 * A command is ended; if it has not by then, source_start() waits for that. The callback ended() still comes if a
 * device goes away.
 */
void source_pause(struct source *source);

/** source_stop() - hand on what is there and stop, without a call of ended(). May be repeated. */
void source_stop(struct source *source);

/** source_is_busy() - return true if its command has not ended yet. */
bool source_is_busy(const struct source *source);

/** source_kill() - end the command of a stopped source now. */
void source_kill(struct source *source);

/** source_adapt() - apply changed settings. */
void source_adapt(struct source *source);

/**
 * source_write() - write to the standard input of the command, or to the peer of the connection.
 *
 * Return: the number of bytes that it took. If that is less than @length, writable() or unwritable() follows.
 * -1 with errno: it takes nothing any more in this run, or never.
 */
ssize_t source_write(struct source *source, const void *bytes, size_t length);

/** source_text() - return what the source is, for the log: "exec:command". */
const char *source_text(const struct source *source);

/** source_state() - return how it is at the monotonic time @now_ns. */
enum source_state source_state(const struct source *source, uint64_t now_ns);

/** source_state_word() - return the word for @state: "silent". */
const char *source_state_word(enum source_state state);

/** source_last_byte_ns() - return the monotonic time of the last byte; 0: none has come. */
uint64_t source_last_byte_ns(const struct source *source);

/**
 * source_save() - save the source as the object "source", with the descriptors that it reads. Nothing changes, so the
 * source may go on if the handover fails. Save it from the event loop, outside of the calls of source_callbacks.
 */
void source_save(struct source *source, struct state *state);

/**
 * source_restore() - continue the source of the object "source" as it was saved: started, paused, starved, or ended.
 * @settings: those that the source had; must outlive it
 * @ring: restored before; NULL if the stream has none yet, then there is no source to restore
 * @callbacks: as of source_open(); none is called before the event loop runs, and none for a run that goes on
 *
 * Return: NULL if the state has failed. Blocks that the source had are the ring's again.
 */
struct source *source_restore(struct event_base *base, const struct stream_settings *settings,
			      struct ring *ring, const struct source_callbacks *callbacks,
			      void *argument, struct state *state);

/** source_close() - stop, hand nothing on, and free the source. Its ring stays. */
void source_close(struct source *source);

#endif
