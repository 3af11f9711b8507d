// SPDX-License-Identifier: BSD-2-Clause
#include "filler.h"

#include "clock.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

struct filler {
	const struct stream_settings *settings;
	struct ring *ring;
	struct source_owner owner;
	uint32_t low_water;
	struct block *block; /* being filled; NULL between two */
	bool handed_on;	     /* blocks of which ready() was not told yet */
	struct timeval flush;
	struct event flush_timer;
	struct event resume_event;
	void (*resume)(void *argument);
	void *resume_argument;
};

static void hand_on(struct filler *filler)
{
	struct block *block = filler->block;

	filler->block = NULL;
	event_del(&filler->flush_timer);
	block->monotonic_ns = clock_monotonic_ns();
	block->realtime_ns = clock_ns(CLOCK_REALTIME);
	filler->handed_on = true;
	filler->owner.block(filler->owner.argument, block);
}

static void flush_timer_expired(evutil_socket_t fd, short what, void *argument)
{
	struct filler *filler = argument;

	(void)fd;
	(void)what;
	filler_flush(filler);
	filler_ready(filler);
}

/* In ring_put(), deep inside of whoever recycles: only note it, and go on from the event loop. */
static void ring_has_room(void *argument)
{
	struct filler *filler = argument;

	event_active(&filler->resume_event, EV_TIMEOUT, 0);
}

static void resume_event_active(evutil_socket_t fd, short what, void *argument)
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
	/* More than the low-water mark, or the next block would ask for room again at once. */
	ring_on_free(filler->ring, filler->low_water + 1, ring_has_room, filler);
}

struct filler *filler_create(struct event_base *base, const struct stream_settings *settings,
			     struct ring *ring, const struct source_owner *owner,
			     void (*resume)(void *argument), void *argument)
{
	struct filler *filler = calloc(1, sizeof(*filler));

	if (!filler)
		return NULL;
	filler->settings = settings;
	filler->ring = ring;
	filler->owner = *owner;
	filler->resume = resume;
	filler->resume_argument = argument;
	evtimer_assign(&filler->flush_timer, base, flush_timer_expired, filler);
	event_assign(&filler->resume_event, base, -1, 0, resume_event_active, filler);
	filler_adapt(filler);
	return filler;
}

unsigned char *filler_space(struct filler *filler, size_t *space)
{
	if (!filler->block) {
		if (ring_free_blocks(filler->ring) <= filler->low_water)
			filler->owner.make_room(filler->owner.argument);
		filler->block = ring_take(filler->ring);
		if (!filler->block) {
			filler->owner.waits(filler->owner.argument);
			return NULL;
		}
	}
	*space = ring_block_size(filler->ring) - filler->block->length;
	return filler->block->data + filler->block->length;
}

uint64_t filler_place(const struct filler *filler)
{
	return (uint64_t)filler->block->index * ring_block_size(filler->ring);
}

void filler_commit(struct filler *filler, size_t bytes)
{
	struct block *block = filler->block;
	bool first = block->length == 0;

	assert(bytes && bytes <= ring_block_size(filler->ring) - block->length);
	block->length += (uint32_t)bytes;
	if (block->length == ring_block_size(filler->ring))
		hand_on(filler);
	else if (first)
		event_add(&filler->flush_timer, &filler->flush);
}

void filler_flush(struct filler *filler)
{
	if (filler->block && filler->block->length)
		hand_on(filler);
}

void filler_ready(struct filler *filler)
{
	if (!filler->handed_on)
		return;
	filler->handed_on = false;
	filler->owner.ready(filler->owner.argument);
}

size_t filler_turn(const struct filler *filler)
{
	return filler->owner.turn(filler->owner.argument);
}

static void silence(struct filler *filler)
{
	ring_on_free(filler->ring, 0, NULL, NULL);
	event_del(&filler->flush_timer);
	event_del(&filler->resume_event);
}

void filler_stop(struct filler *filler)
{
	silence(filler);
	filler_flush(filler);
	filler_ready(filler);
}

void filler_destroy(struct filler *filler)
{
	silence(filler);
	if (filler->block)
		ring_put(filler->ring, filler->block);
	free(filler);
}
