// SPDX-License-Identifier: BSD-2-Clause
#include "source/filler.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/state.h"
#include "lib/timer_state.h"
#include "source/records.h"
#include "source/source_block.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

struct filler {
	const struct stream_settings *settings;
	struct ring *ring;
	const struct source_callbacks *callbacks;
	void *argument; /* of the callbacks */
	uint32_t low_water;
	size_t block_bytes;		    /* of a full block */
	struct block *block[FILLER_BLOCKS]; /* the first is being filled, others are empty */
	unsigned int blocks;
	bool handed_on; /* blocks since the last ready() */
	bool is_silent; /* paused or stopped: it does not resume */
	struct timeval flush;
	struct event flush_timer;
	struct event resume_event;
	void (*resume)(void *argument);
	void *resume_argument;

	bool has_records; /* what follows is valid */
	struct records records;
	/* What is behind the last whole record of a block, until there is a next block. */
	unsigned char *rest;
	size_t rest_length;
	uint64_t rest_ns; /* time of capture of the block that begins with it */
	bool is_split; /* the block begins within a record that is larger than a block, and is counted */
	struct log_limit broken_log;
};

static void filler_hand_on(struct filler *filler)
{
	struct block *block = filler->block[0];

	filler->blocks--;
	memmove(filler->block, filler->block + 1, filler->blocks * sizeof(*filler->block));
	event_del(&filler->flush_timer);
	source_block_date(block);
	filler->handed_on = true;
	filler->callbacks->block_filled(filler->argument, block);
}

/* ---- records ---- */

static void filler_count_broken(struct filler *filler, size_t bytes, const char *what)
{
	filler->callbacks->record_broken(filler->argument);
	log_limited(&filler->broken_log, LOG_LEVEL_WARNING,
		    "stream %s: a record is not whole: %s (%zu bytes)", filler->settings->name,
		    what, bytes);
}

/* Begin the next block with the rest of the one before. */
static void filler_place_rest(struct filler *filler)
{
	struct block *block = filler->block[0];

	if (!filler->rest_length || !filler->blocks)
		return;
	assert(!block->length);
	memcpy(block->data, filler->rest, filler->rest_length);
	block->length = (uint32_t)filler->rest_length;
	block->captured_ns = filler->rest_ns;
	filler->rest_length = 0;
}

static size_t filler_boundary(struct filler *filler)
{
	const struct block *block = filler->block[0];

	return records_boundary(&filler->records, block->data, block->length);
}

/* Hand on the first block as far as its records are whole. Return: false if it has no whole record. */
static bool filler_hand_on_records(struct filler *filler)
{
	struct block *block = filler->block[0];
	size_t boundary = filler_boundary(filler);

	if (!boundary)
		return false;
	filler->is_split = false;
	filler->rest_length = block->length - boundary;
	filler->rest_ns = clock_monotonic_ns();
	memcpy(filler->rest, block->data + boundary, filler->rest_length);
	block->length = (uint32_t)boundary;
	records_moved(&filler->records, boundary, filler->rest_length);
	filler_hand_on(filler);
	filler_place_rest(filler);
	return true;
}

/* Hand on the first block although it ends within a record. */
static void filler_split_record(struct filler *filler)
{
	const struct block *block = filler->block[0];

	if (!filler->is_split)
		filler_count_broken(filler, block->length,
				    "larger than a block, and sent in parts; raise block-size");
	filler->is_split = true;
	records_split(&filler->records, block->data, block->length);
	filler_hand_on(filler);
}

static void filler_hand_on_full(struct filler *filler)
{
	if (!filler->has_records)
		filler_hand_on(filler);
	else if (!filler_hand_on_records(filler))
		filler_split_record(filler);
}

/* Forget the rest of a record that was not handed on. @bytes: its length */
static void filler_drop_rest(struct filler *filler, size_t boundary, size_t bytes, const char *why)
{
	if (bytes && (boundary || !filler->is_split))
		filler_count_broken(filler, bytes, why);
	filler->is_split = false;
	filler->rest_length = 0;
	records_begin(&filler->records, boundary);
}

void filler_begin_run(struct filler *filler)
{
	size_t boundary = 0, bytes = filler->rest_length;

	if (!filler->has_records)
		return;
	if (filler->blocks && filler->block[0]->length) {
		boundary = filler_boundary(filler);
		bytes = filler->block[0]->length - boundary;
		filler->block[0]->length = (uint32_t)boundary;
	}
	filler_drop_rest(filler, boundary, bytes,
			 "dropped, as the input ended before the rest of it");
}

/* ---- timers and events ---- */

static void filler_flush_timer_expired(evutil_socket_t fd, short what, void *argument)
{
	struct filler *filler = argument;

	(void)fd;
	(void)what;
	filler_flush(filler);
	filler_ready(filler);
}

/* Called within ring_put(), deep inside the code that recycles: continue from the event loop. */
static void filler_ring_has_free(void *argument)
{
	struct filler *filler = argument;

	event_active(&filler->resume_event, EV_TIMEOUT, 0);
}

static void filler_resume_event_active(evutil_socket_t fd, short what, void *argument)
{
	struct filler *filler = argument;

	(void)fd;
	(void)what;
	filler->resume(filler->resume_argument);
}

void filler_adapt(struct filler *filler)
{
	const struct stream_settings *settings = filler->settings;

	filler->low_water = (uint32_t)stream_settings_low_water(settings);
	filler->flush = clock_timeval(settings->flush);
	if (event_pending(&filler->flush_timer, EV_TIMEOUT, NULL))
		event_add(&filler->flush_timer, &filler->flush);
	if (filler->is_silent)
		return;
	/* One more than the low-water mark, or the next block would call make_room() at once. */
	ring_on_free(filler->ring, filler->low_water + 1, filler_ring_has_free, filler);
}

/* Return: false without memory. */
static bool filler_set_up_records(struct filler *filler)
{
	size_t size = (size_t)filler->settings->record_size;

	filler->has_records = stream_settings_has_records(filler->settings);
	if (!filler->has_records)
		return true;
	if (size)
		filler->block_bytes -= filler->block_bytes % size;
	assert(filler->block_bytes);
	records_init(&filler->records, filler->settings);
	filler->rest = malloc(filler->block_bytes);
	return filler->rest;
}

struct filler *filler_create(struct event_base *base, const struct stream_settings *settings,
			     struct ring *ring, const struct source_callbacks *callbacks,
			     void *argument, void (*resume)(void *resume_argument),
			     void *resume_argument)
{
	struct filler *filler = calloc(1, sizeof(*filler));

	if (!filler)
		return NULL;
	filler->settings = settings;
	filler->ring = ring;
	filler->callbacks = callbacks;
	filler->argument = argument;
	filler->resume = resume;
	filler->resume_argument = resume_argument;
	filler->block_bytes = ring_block_size(ring);
	if (!filler_set_up_records(filler)) {
		free(filler);
		return NULL;
	}
	evtimer_assign(&filler->flush_timer, base, filler_flush_timer_expired, filler);
	event_assign(&filler->resume_event, base, -1, 0, filler_resume_event_active, filler);
	filler_adapt(filler);
	return filler;
}

/* Return: false when the ring has no block. */
static bool filler_take_block(struct filler *filler)
{
	struct block *block = ring_take(filler->ring);

	if (block)
		filler->block[filler->blocks++] = block;
	return block != NULL;
}

static size_t filler_space_of(const struct filler *filler, const struct block *block)
{
	return filler->block_bytes - block->length;
}

size_t filler_block_bytes(const struct filler *filler)
{
	return filler->block_bytes;
}

/* Take a first block, unless there is one. Return: false when the ring has none. */
static bool filler_have_block(struct filler *filler)
{
	struct block *block;

	if (filler->blocks)
		return true;
	block = source_block_take(filler->ring, filler->low_water, filler->callbacks,
				  filler->argument);
	if (!block)
		return false;
	filler->block[filler->blocks++] = block;
	filler_place_rest(filler);
	return true;
}

unsigned char *filler_space(struct filler *filler, size_t *space)
{
	struct block *block;

	if (!filler_have_block(filler))
		return NULL;
	block = filler->block[0];
	*space = filler_space_of(filler, block);
	return block->data + block->length;
}

/* With `record-end`, or behind a head, the next block may have to begin with a rest that is not known yet. */
static bool filler_knows_rest(const struct filler *filler)
{
	return !filler->has_records || (filler->records.size && !filler->records.grid);
}

int filler_spaces(struct filler *filler, struct iovec *space, size_t *bytes)
{
	int max_count = filler_knows_rest(filler) ? FILLER_BLOCKS : 1;
	size_t most = *bytes;
	int count = 0;

	*bytes = 0;
	if (!filler_have_block(filler))
		return 0;
	for (;;) {
		struct block *block = filler->block[count];
		size_t length = filler_space_of(filler, block);

		if (length > most - *bytes)
			length = most - *bytes;
		space[count].iov_base = block->data + block->length;
		space[count].iov_len = length;
		*bytes += length;
		count++;
		if (*bytes == most || count == max_count)
			return count;
		/* At the low-water mark make_room() must be called before another block is taken. */
		if ((unsigned int)count == filler->blocks &&
		    (ring_free_blocks(filler->ring) <= filler->low_water ||
		     !filler_take_block(filler)))
			return count;
	}
}

uint64_t filler_place(const struct filler *filler)
{
	return (uint64_t)filler->block[0]->index * ring_block_size(filler->ring);
}

/* Return true if the rest of a block, or a record that was not whole when `flush` was over, waits for a timer. */
static bool filler_lacks_timer(const struct filler *filler)
{
	return filler->has_records && !event_pending(&filler->flush_timer, EV_TIMEOUT, NULL);
}

/* Commit to the first block, which has space for @bytes. */
static void filler_commit_to_first(struct filler *filler, size_t bytes)
{
	struct block *block = filler->block[0];
	bool first = block->length == 0;

	block->length += (uint32_t)bytes;
	if (first)
		block->captured_ns = clock_monotonic_ns();
	if (!filler_space_of(filler, block))
		filler_hand_on_full(filler);
	else if (first || filler_lacks_timer(filler))
		event_add(&filler->flush_timer, &filler->flush);
}

void filler_commit(struct filler *filler, size_t bytes)
{
	assert(bytes);
	while (bytes) {
		size_t part;

		assert(filler->blocks);
		part = filler_space_of(filler, filler->block[0]);
		if (part > bytes)
			part = bytes;
		filler_commit_to_first(filler, part);
		bytes -= part;
	}
}

void filler_flush(struct filler *filler)
{
	if (!filler->blocks || !filler->block[0]->length)
		return;
	if (filler->has_records)
		filler_hand_on_records(filler);
	else
		filler_hand_on(filler);
}

/* Hand on the first block at the end of the source. */
static void filler_hand_on_last(struct filler *filler)
{
	size_t boundary = filler_boundary(filler);
	size_t bytes = filler->block[0]->length - boundary;

	if (bytes && (boundary || !filler->is_split))
		filler_count_broken(filler, bytes, "sent without its end, as the source ended");
	filler->is_split = false;
	records_begin(&filler->records, 0);
	filler_hand_on(filler);
}

void filler_end(struct filler *filler)
{
	if (!filler->has_records) {
		filler_flush(filler);
		return;
	}
	if (filler->rest_length && !filler_have_block(filler))
		filler_drop_rest(filler, 0, filler->rest_length,
				 "dropped, as the source ended and no block is free");
	if (filler->blocks && filler->block[0]->length)
		filler_hand_on_last(filler);
}

/* Return the blocks behind the first @kept ones, or all. */
static void filler_return_unused(struct filler *filler, unsigned int kept)
{
	while (filler->blocks > kept)
		ring_return_unused(filler->ring, filler->block[--filler->blocks]);
}

void filler_ready(struct filler *filler)
{
	filler_return_unused(filler, 1); /* which is what the next bytes come into */
	if (!filler->handed_on)
		return;
	filler->handed_on = false;
	filler->callbacks->ready(filler->argument);
}

size_t filler_budget(const struct filler *filler)
{
	return filler->callbacks->budget(filler->argument);
}

static void filler_silence(struct filler *filler)
{
	filler->is_silent = true;
	ring_on_free(filler->ring, 0, NULL, NULL);
	event_del(&filler->flush_timer);
	event_del(&filler->resume_event);
}

void filler_start(struct filler *filler)
{
	filler->is_silent = false;
	filler_adapt(filler);
}

/* Forget a record that is not whole; nobody misses the rest of it. Return: its bytes. */
static size_t filler_forget_rest(struct filler *filler)
{
	size_t bytes = filler->rest_length;

	if (filler->blocks) {
		bytes += filler->block[0]->length;
		filler->block[0]->length = 0;
	}
	filler->rest_length = 0;
	filler->is_split = false;
	if (filler->has_records)
		records_begin(&filler->records, 0);
	return bytes;
}

size_t filler_pause(struct filler *filler)
{
	size_t dropped;

	filler_silence(filler);
	filler_flush(filler);
	dropped = filler_forget_rest(filler);
	filler_ready(filler);
	filler_return_unused(filler, 0);
	return dropped;
}

void filler_stop(struct filler *filler)
{
	filler_silence(filler);
	filler_end(filler);
	filler_ready(filler);
}

/* ---- handover ---- */

/* Only the first block may have bytes, and is not full. */
static void filler_claim(struct filler *filler, struct state *state, struct block *block)
{
	uint32_t length = filler->blocks ? 0 : (uint32_t)filler->block_bytes - 1;

	if (state_failed(state))
		return;
	if (!block || block->length > length || !ring_claim(filler->ring, block))
		state_fail(state, "block: is not one that can be filled");
	else
		filler->block[filler->blocks++] = block;
}

static void filler_save_blocks(struct filler *filler, struct state *state)
{
	for (size_t i = 0; i < filler->blocks; i++) {
		state_item(state);
		ring_transfer_block(filler->ring, state, "block", &filler->block[i]);
		state_leave(state);
	}
	state_list_end(state);
}

static void filler_restore_blocks(struct filler *filler, struct state *state)
{
	struct block *block;

	while (state_next_item(state)) {
		block = NULL;
		ring_transfer_block(filler->ring, state, "block", &block);
		filler_claim(filler, state, block);
	}
}

static void filler_transfer_blocks(struct filler *filler, struct state *state)
{
	state_list(state, "blocks", FILLER_BLOCKS);
	if (state_is_saving(state))
		filler_save_blocks(filler, state);
	else
		filler_restore_blocks(filler, state);
}

/* The begin of the next block. With a block there is none. */
static void filler_transfer_rest(struct filler *filler, struct state *state)
{
	unsigned char *rest = filler->rest;
	size_t most = filler->blocks ? 0 : filler->block_bytes - 1, length = filler->rest_length;

	state_bytes(state, "rest", &rest, &length, most);
	if (!state_is_saving(state) && !state_failed(state) && length) {
		memcpy(filler->rest, rest, length);
		filler->rest_length = length;
		free(rest);
	}
	state_u64(state, "rest_ns", &filler->rest_ns);
	state_bool(state, "is_split", &filler->is_split);
}

static void filler_transfer_records(struct filler *filler, struct state *state)
{
	filler_transfer_rest(filler, state);
	records_transfer(&filler->records, state,
			 filler->blocks ? filler->block[0]->length : filler->rest_length);
}

/* Continue to wait for free blocks: meanwhile some may have come back. */
static void filler_resume_wait(struct filler *filler, bool is_awaited)
{
	if (is_awaited)
		ring_want_free(filler->ring);
	if (filler->is_silent)
		ring_on_free(filler->ring, 0, NULL, NULL);
	else
		filler_adapt(filler);
}

void filler_transfer(struct filler *filler, struct state *state)
{
	bool is_awaited = ring_is_awaited(filler->ring) ||
			  event_pending(&filler->resume_event, EV_TIMEOUT, NULL);

	state_enter(state, "filler");
	filler_transfer_blocks(filler, state);
	if (filler->has_records)
		filler_transfer_records(filler, state);
	state_bool(state, "handed_on", &filler->handed_on);
	state_bool(state, "is_silent", &filler->is_silent);
	state_bool(state, "is_awaited", &is_awaited);
	timer_transfer(&filler->flush_timer, state, "flush_timer");
	state_leave(state);
	if (!state_is_saving(state) && !state_failed(state))
		filler_resume_wait(filler, is_awaited);
}

void filler_destroy(struct filler *filler)
{
	filler_silence(filler);
	filler_return_unused(filler, 0);
	free(filler->rest);
	free(filler);
}
