// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_input.h"

#include "lib/settings.h"
#include "lib/state.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>

/* Clients that are read, and writes, in one iteration of the event loop: well under a millisecond. */
#define MAX_TURNS 128
#define MAX_WRITES 16

static size_t input_space(const struct stream_input *input)
{
	return STREAM_INPUT_BYTES - stream_input_queued(input);
}

/* Return true if some client can be read. */
static bool input_is_readable(const struct stream_input *input)
{
	return input->state != STREAM_INPUT_ABSENT && input_space(input) >= MAX_CLIENT_INPUT;
}

static bool input_is_writable(const struct stream_input *input)
{
	return input->state == STREAM_INPUT_OPEN && !input->full && stream_input_queued(input);
}

static void input_schedule(struct stream_input *input)
{
	static const struct timeval at_once;

	if (input_is_writable(input) || (input_is_readable(input) && !TAILQ_EMPTY(&input->turns)))
		evtimer_add(&input->event, &at_once);
}

static void input_discard_queue(struct stream_input *input)
{
	size_t bytes = stream_input_queued(input);

	input->stats->discarded_bytes += bytes;
	evbuffer_drain(input->queue, bytes);
}

static void input_write_queue(struct stream_input *input)
{
	struct evbuffer_iovec piece;

	for (int i = 0; i < MAX_WRITES && input_is_writable(input); i++) {
		ssize_t n;

		evbuffer_peek(input->queue, -1, NULL, &piece, 1);
		n = input->callbacks->write(input->argument, piece.iov_base, piece.iov_len);
		if (n < 0) {
			input->state = STREAM_INPUT_REFUSED;
			input_discard_queue(input);
			return;
		}
		input->full = (size_t)n < piece.iov_len;
		input->stats->forwarded_bytes += (uint64_t)n;
		evbuffer_drain(input->queue, (size_t)n);
	}
}

/* The first client that waits is read, and if it has more, waits behind the others. */
static void input_read_turns(struct stream_input *input)
{
	struct input_turn *turn;

	for (int i = 0; i < MAX_TURNS && input_is_readable(input); i++) {
		turn = TAILQ_FIRST(&input->turns);
		if (!turn)
			return;
		stream_input_forget(input, turn);
		input->current = turn;
		input->callbacks->read(turn);
		input->current = NULL;
	}
}

static void input_due(evutil_socket_t fd, short what, void *argument)
{
	struct stream_input *input = argument;

	(void)fd;
	(void)what;
	input_read_turns(input);
	input_write_queue(input);
	input_schedule(input);
}

bool stream_input_init(struct stream_input *input, struct event_base *base,
		       const struct stream_input_callbacks *callbacks, void *argument,
		       struct input_stats *stats)
{
	*input = (struct stream_input){
		.queue = evbuffer_new(),
		.callbacks = callbacks,
		.argument = argument,
		.stats = stats,
	};
	TAILQ_INIT(&input->turns);
	evtimer_assign(&input->event, base, input_due, input);
	return input->queue;
}

void stream_input_free(struct stream_input *input)
{
	if (!input->queue)
		return;
	assert(TAILQ_EMPTY(&input->turns));
	input_discard_queue(input);
	evtimer_del(&input->event);
	evbuffer_free(input->queue);
	input->queue = NULL;
}

void stream_input_writable(struct stream_input *input)
{
	/* After a write that failed, only the next run takes bytes again. */
	if (input->state == STREAM_INPUT_ABSENT)
		input->state = STREAM_INPUT_OPEN;
	input->full = false;
	input_schedule(input);
}

void stream_input_end_run(struct stream_input *input)
{
	input->state = STREAM_INPUT_ABSENT;
	input->full = false;
	input_discard_queue(input);
}

size_t stream_input_queued(const struct stream_input *input)
{
	return evbuffer_get_length(input->queue);
}

size_t stream_input_piece(const struct stream_input *input, const struct input_turn *turn,
			  size_t unread, size_t unit)
{
	size_t bytes = unread < MAX_CLIENT_INPUT ? unread : MAX_CLIENT_INPUT;

	if (!input_is_readable(input) || (turn != input->current && !TAILQ_EMPTY(&input->turns)))
		return 0;
	return unit ? bytes - bytes % unit : bytes;
}

void stream_input_add(struct stream_input *input, const void *piece, size_t bytes)
{
	if (input->state != STREAM_INPUT_OPEN || evbuffer_add(input->queue, piece, bytes))
		input->stats->discarded_bytes += bytes;
	input_schedule(input);
}

void stream_input_wait(struct stream_input *input, struct input_turn *turn)
{
	if (turn->waits)
		return;
	turn->waits = true;
	TAILQ_INSERT_TAIL(&input->turns, turn, entry);
	input_schedule(input);
}

void stream_input_forget(struct stream_input *input, struct input_turn *turn)
{
	if (!turn->waits)
		return;
	turn->waits = false;
	TAILQ_REMOVE(&input->turns, turn, entry);
}

static void input_save_queue(const struct stream_input *input, struct state *state)
{
	unsigned char copy[STREAM_INPUT_BYTES], *bytes = copy;
	size_t length = stream_input_queued(input);

	evbuffer_copyout(input->queue, copy, sizeof(copy));
	state_bytes(state, "queue", &bytes, &length, sizeof(copy));
}

static void input_restore_queue(struct stream_input *input, struct state *state)
{
	unsigned char *bytes = NULL;
	size_t length = 0;

	state_bytes(state, "queue", &bytes, &length, STREAM_INPUT_BYTES);
	if (length && input->state != STREAM_INPUT_OPEN)
		state_fail(state, "%zu bytes are queued for a source that takes none", length);
	else if (length && evbuffer_add(input->queue, bytes, length))
		state_fail(state, "no memory");
	free(bytes);
}

void stream_input_transfer(struct stream_input *input, struct state *state)
{
	int number = (int)input->state;

	state_enter(state, "input");
	state_choice(state, "state", &number, STREAM_INPUT_REFUSED + 1);
	input->state = (enum stream_input_state)number;
	state_bool(state, "full", &input->full);
	if (state_is_saving(state))
		input_save_queue(input, state);
	else
		input_restore_queue(input, state);
	state_leave(state);
	if (!state_is_saving(state))
		input_schedule(input);
}
