// SPDX-License-Identifier: BSD-2-Clause
#include "source/filler.h"

#include "lib/clock.h"

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
	struct block *block[FILLER_BLOCKS]; /* the first is being filled, others are empty */
	unsigned int blocks;
	bool handed_on; /* blocks since the last ready() */
	struct timeval flush;
	struct event flush_timer;
	struct event resume_event;
	void (*resume)(void *argument);
	void *resume_argument;
};

static void filler_hand_on(struct filler *filler)
{
	struct block *block = filler->block[0];

	filler->blocks--;
	memmove(filler->block, filler->block + 1, filler->blocks * sizeof(*filler->block));
	event_del(&filler->flush_timer);
	block->monotonic_ns = clock_monotonic_ns();
	block->realtime_ns = clock_ns(CLOCK_REALTIME);
	filler->handed_on = true;
	filler->callbacks->block_filled(filler->argument, block);
}

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
	/* One more than the low-water mark, or the next block would call make_room() at once. */
	ring_on_free(filler->ring, filler->low_water + 1, filler_ring_has_free, filler);
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
	return ring_block_size(filler->ring) - block->length;
}

/* Take a first block, unless there is one. Return: false when the ring has none. */
static bool filler_have_block(struct filler *filler)
{
	if (filler->blocks)
		return true;
	if (ring_free_blocks(filler->ring) <= filler->low_water)
		filler->callbacks->make_room(filler->argument);
	if (filler_take_block(filler))
		return true;
	filler->callbacks->starved(filler->argument);
	return false;
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

int filler_spaces(struct filler *filler, struct iovec *space, size_t *bytes)
{
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
		if (*bytes == most || count == FILLER_BLOCKS)
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

/* Commit to the first block, which has space for @bytes. */
static void filler_commit_to_first(struct filler *filler, size_t bytes)
{
	struct block *block = filler->block[0];
	bool first = block->length == 0;

	block->length += (uint32_t)bytes;
	if (!filler_space_of(filler, block))
		filler_hand_on(filler);
	else if (first)
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
	if (filler->blocks && filler->block[0]->length)
		filler_hand_on(filler);
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
	ring_on_free(filler->ring, 0, NULL, NULL);
	event_del(&filler->flush_timer);
	event_del(&filler->resume_event);
}

void filler_stop(struct filler *filler)
{
	filler_silence(filler);
	filler_flush(filler);
	filler_ready(filler);
}

void filler_destroy(struct filler *filler)
{
	filler_silence(filler);
	filler_return_unused(filler, 0);
	free(filler);
}
