// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_history.h"

#include "lib/clock.h"
#include "ring/ring.h"

#include <event2/event.h>

/* Blocks that one call of the timer releases at most. */
#define MAX_RELEASED 1024

/* Delay of the next call after that, and shortest time between two looks at the age, in microseconds. */
#define DRAIN_INTERVAL_US 1000
#define MIN_AGE_INTERVAL_US 100000

/* ---- what is kept ---- */

/* Without memory for the timer, the next block or the next client has the same effect. */
static void history_call_in(struct stream_history *history, uint64_t microseconds)
{
	const struct timeval delay = clock_timeval(microseconds);

	evtimer_add(&history->timer, &delay);
}

/* Return true if the block is not too old. Then the timer looks again. */
static bool history_is_young(struct stream_history *history, const struct block *block)
{
	uint64_t limit_us = history->settings->retain.microseconds;
	uint64_t age_us = block_capture_age(block, clock_monotonic_ns()) / 1000;
	uint64_t left_us = limit_us - age_us;

	if (age_us > limit_us)
		return false;
	if (!evtimer_pending(&history->timer, NULL))
		history_call_in(history,
				left_us > MIN_AGE_INTERVAL_US ? left_us + 1 : MIN_AGE_INTERVAL_US);
	return true;
}

static bool history_wants(struct stream_history *history, const struct block *block)
{
	const struct lag_limit *retain = &history->settings->retain;

	if (retain->bytes)
		return window_bytes(history->window) - block->position - block->length <
		       retain->bytes;
	return retain->microseconds && history_is_young(history, block);
}

/* As of window_set_keeper(). The source must not wait for a block that only history needs. */
static bool history_keeps(void *argument, const struct block *oldest)
{
	struct stream_history *history = argument;

	if (ring_is_awaited(oldest->ring))
		return false;
	return history->drains || history_wants(history, oldest);
}

static bool history_is_empty(const struct stream_history *history)
{
	uint64_t bytes;

	return !window_retained(history->window, &bytes);
}

static bool history_is_configured(const struct stream_history *history)
{
	return history->settings->retain.bytes || history->settings->retain.microseconds;
}

/* Release blocks that need not be kept, but not too many. Return: true if none is left. */
static bool history_drain(struct stream_history *history)
{
	struct window *window = history->window;

	for (int n = 0; n < MAX_RELEASED; n++) {
		if (history_is_empty(history) ||
		    history_wants(history, window_block_at(window, window_oldest(window))))
			return true;
		window_release_oldest(window);
	}
	return false;
}

static void history_timer_expired(evutil_socket_t fd, short what, void *argument)
{
	struct stream_history *history = argument;

	(void)fd;
	(void)what;
	if (!history_drain(history)) {
		history_call_in(history, DRAIN_INTERVAL_US);
		return;
	}
	history->drains = false;
	if (!history_is_configured(history))
		window_set_keeper(history->window, NULL, NULL);
}

void stream_history_adapt(struct stream_history *history)
{
	history->drains = !history_is_empty(history);
	evtimer_del(&history->timer);
	if (history->drains)
		history_call_in(history, DRAIN_INTERVAL_US);
	if (history->drains || history_is_configured(history))
		window_set_keeper(history->window, history_keeps, history);
	else
		window_set_keeper(history->window, NULL, NULL);
}

void stream_history_init(struct stream_history *history, struct event_base *base,
			 const struct stream_settings *settings, struct window *window,
			 const struct stream_frames *frames, const struct stream_preamble *preamble)
{
	*history = (struct stream_history){
		.settings = settings, .window = window, .frames = frames, .preamble = preamble
	};
	evtimer_assign(&history->timer, base, history_timer_expired, history);
	stream_history_adapt(history);
}

void stream_history_close(struct stream_history *history)
{
	evtimer_del(&history->timer);
}

/* ---- where a client begins ---- */

static bool history_ends_by(const struct block *block, uint64_t position)
{
	return block->position + block->length <= position;
}

static bool history_is_captured_before(const struct block *block, uint64_t ns)
{
	return block->captured_ns < ns;
}

static uint64_t history_search(const struct stream_history *history,
			       bool (*is_before)(const struct block *block, uint64_t value),
			       uint64_t value)
{
	return window_search(history->window, window_oldest(history->window), is_before, value);
}

/* Return the sequence of the block with the byte that is @bytes before the end. */
static uint64_t history_at_bytes(const struct stream_history *history, uint64_t bytes)
{
	uint64_t end = window_bytes(history->window);

	return history_search(history, history_ends_by, end > bytes ? end - bytes : 0);
}

/* Return the sequence of the first block whose capture is not longer ago. */
static uint64_t history_at_age(const struct stream_history *history, uint64_t microseconds)
{
	uint64_t now_ns = clock_monotonic_ns();

	return history_search(history, history_is_captured_before,
			      now_ns / 1000 > microseconds ? now_ns - microseconds * 1000 : 0);
}

/* Return the sequence of the first block that a client may begin with, unless it resumes. */
static uint64_t history_begin(const struct stream_history *history)
{
	const struct lag_limit *retain = &history->settings->retain;
	uint64_t run = history_search(history, history_ends_by,
				      stream_preamble_run_position(history->preamble));
	uint64_t begin;

	/* A connection has one count. */
	if (run < stream_frames_first(history->frames))
		run = stream_frames_first(history->frames);
	begin = run;
	if (retain->bytes)
		begin = history_at_bytes(history, retain->bytes);
	else if (retain->microseconds)
		begin = history_at_age(history, retain->microseconds);
	return begin > run ? begin : run;
}

/* Return the epoch of a block, which may be gone; 0: nobody remembers. */
static uint32_t history_epoch(const struct stream_history *history, uint64_t sequence)
{
	const struct window *window = history->window;

	if (sequence >= window_oldest(window))
		return frame_epoch(window_block_at(window, sequence)->header);
	return stream_frames_epoch_of(history->frames, sequence);
}

/* Return the name that clients know of the block at @sequence, or of the next one. */
static struct block_name history_name(const struct stream_history *history, uint64_t sequence)
{
	const struct window *window = history->window;
	struct frame frame = { .epoch = history->frames->epoch };
	unsigned int ignored;

	if (sequence == window_head(window))
		frame.sequence = stream_frames_place(history->frames, sequence, 0, false).sequence;
	else
		frame_parse(window_block_at(window, sequence)->header, &frame, &ignored);
	return (struct block_name){ .epoch = frame.epoch, .sequence = frame.sequence };
}

/* The same for a relay, whose clients know the numbers of its origin. */
static enum history_result history_resume_relay(const struct stream_history *history,
						const struct block_name *after,
						struct history_place *place)
{
	const struct window *window = history->window;
	struct frames_found found;
	enum frames_search result =
		stream_frames_find(history->frames, after, window_head(window), &found);

	if (result == FRAMES_UNKNOWN)
		return HISTORY_CONFLICT;
	if (result == FRAMES_GONE)
		return HISTORY_GONE;
	/* By "gone" a client would count the blocks up to the oldest one as lost. */
	if (found.sequence < window_oldest(window))
		return found.end == FRAMES_NO_END ? HISTORY_GONE : HISTORY_CONFLICT;
	*place = (struct history_place){ .sequence = found.sequence, .resumes = true };
	if (found.end != FRAMES_NO_END)
		place->end = found.end;
	return HISTORY_FOUND;
}

static enum history_result history_resume(const struct stream_history *history,
					  const struct block_name *after,
					  struct history_place *place)
{
	uint32_t epoch;

	if (history->frames->is_relay)
		return history_resume_relay(history, after, place);
	if (after->sequence >= window_head(history->window))
		return HISTORY_CONFLICT;
	epoch = history_epoch(history, after->sequence);
	if (epoch && epoch != after->epoch)
		return HISTORY_CONFLICT;
	if (!epoch || after->sequence + 1 < window_oldest(history->window))
		return HISTORY_GONE;
	*place = (struct history_place){ .sequence = after->sequence + 1, .resumes = true };
	return HISTORY_FOUND;
}

static uint64_t history_sequence(const struct stream_history *history,
				 const struct client_start *start)
{
	uint64_t begin, sequence = 0;

	if (start->kind == CLIENT_START_LIVE)
		return window_head(history->window);
	begin = history_begin(history);
	if (start->kind == CLIENT_START_BYTES)
		sequence = history_at_bytes(history, start->bytes);
	else if (start->kind == CLIENT_START_AGE)
		sequence = history_at_age(history, start->microseconds);
	return sequence > begin ? sequence : begin;
}

enum history_result stream_history_find(struct stream_history *history,
					const struct client_start *start,
					struct history_answer *answer)
{
	uint64_t oldest = window_oldest(history->window);

	if (oldest < stream_frames_first(history->frames))
		oldest = stream_frames_first(history->frames);
	*answer = (struct history_answer){ .oldest = history_name(history, oldest) };
	if (start->kind == CLIENT_START_AFTER)
		return history_resume(history, &start->after, &answer->place);
	answer->place.sequence = history_sequence(history, start);
	return HISTORY_FOUND;
}
